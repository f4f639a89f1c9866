"""Still pictures, decoded one after the other in a process of its own, which may die of any of them."""

from collections.abc import Callable
from dataclasses import replace

from drivers.camera.messages import Decode, Ended, Show, Shown, StillDone, Stills, Task
from drivers.camera_child import LIMITS, CameraChild, Limits, ProcessDied, started
from drivers.protocols import DeviceRefused

PICTURE_S = 60.0
"""No picture takes so long, on the slowest of boxes, unless the decoder hangs."""


class StillsDecoder:
    """Decodes image files; a process runs from the first one on, until `end`."""

    def __init__(
        self,
        task: Task,
        name: str,
        limits: Limits = LIMITS,
        show: Callable[[Shown], None] | None = None,
        picture_s: float = PICTURE_S,
    ) -> None:
        """`show` gets the pictures that were asked for by `tell`."""
        # Which files these are is told one by one.
        self._task = replace(task, source=Stills(()))
        self._name = name
        self._limits = limits
        self._picture_s = picture_s
        self._show = show
        self._child: CameraChild | None = None
        self.begins: Callable[[], None] = lambda: None
        """Called when there is a new process."""

    @property
    def pid(self) -> int | None:
        """The process at work, if there is one."""
        return self._child.pid if self._child else None

    def tell(self, show: Show) -> None:
        """Have pictures shown from now on."""
        if self._child is not None:
            self._child.tell(show)

    async def decode(self, path: str) -> StillDone:
        """Return what an image file holds; `error` also where the process died of it.

        Raises:
            DeviceLost: the system starts no process.
            DeviceRefused: a library is missing.
        """
        if not _is_unicode(path):
            return StillDone(path, 0, 0, 0.0, (), "its name is not UTF-8; rename it")
        child = self._child
        if child is None:
            child = self._child = started(self._task, self._name, self._limits)
            self.begins()
        child.tell(Decode(path))
        try:
            return await self._answer(child, path)
        except ProcessDied as exc:
            await self.end()
            return StillDone(path, 0, 0, 0.0, (), f"the decoder {exc.cause} on this picture")

    async def _answer(self, child: CameraChild, path: str) -> StillDone:
        while True:
            match await child.heard(self._picture_s):
                case StillDone() as done:
                    return replace(done, path=path)
                case Shown() as shown:
                    if self._show is not None:
                        self._show(shown)
                case Ended(why, refused=True):
                    raise DeviceRefused(why)
                case Ended(why):
                    await self.end()
                    return StillDone(path, 0, 0, 0.0, (), why)
                case _:
                    raise ProcessDied(self._name, "talks nonsense (out of turn)")

    async def end(self) -> None:
        """End the process, if there is one."""
        child, self._child = self._child, None
        if child is not None:
            await child.end()


def _is_unicode(path: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in path)
