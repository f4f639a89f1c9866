"""Who looks at a camera's pictures, and what is therefore asked of its process."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Literal

from drivers.camera.messages import Show, Shown
from drivers.protocols import Outline, Picture

Form = Literal["jpeg", "luma"]
_FORMS: tuple[Form, ...] = ("jpeg", "luma")


@dataclass(slots=True, eq=False)
class _Onlooker:
    form: Form
    width: int
    every_s: float
    newest: Picture | None = None
    comes: asyncio.Event = field(default_factory=asyncio.Event)


class Onlookers:
    """All who look at one camera. Each has the newest picture only, however slow it is to take it."""

    def __init__(self, ask: Callable[[Show], None]) -> None:
        """`ask` is told what the camera's process is to send, at each change."""
        self._ask = ask
        self._all: list[_Onlooker] = []
        self._asked: dict[Form, Show] = {}

    async def watch(self, form: Form, width: int, every_s: float) -> AsyncGenerator[Picture]:
        """Yield pictures as `Camera.watch` does."""
        onlooker = _Onlooker(form, width, every_s)
        self._all.append(onlooker)
        self._ask_for(form)
        try:
            while True:
                await onlooker.comes.wait()
                onlooker.comes.clear()
                if onlooker.newest is not None:
                    yield onlooker.newest
        finally:
            self._all.remove(onlooker)
            self._ask_for(form)

    def show(self, shown: Shown) -> None:
        """Give a picture to all who look for its form."""
        outlines = tuple(Outline(code.text, code.symbology, code.outline) for code in shown.codes)
        picture = Picture(shown.form, shown.width, shown.height, shown.picture, outlines, shown.took_ms, shown.step)
        for onlooker in self._all:
            if onlooker.form == shown.form:
                onlooker.newest = picture
                onlooker.comes.set()

    def ask_again(self) -> None:
        """Ask a new process for all that is wanted."""
        self._asked.clear()
        for form in _FORMS:
            self._ask_for(form)

    def _ask_for(self, form: Form) -> None:
        """Ask for what the most demanding want, unless that is asked for already."""
        of_form = [onlooker for onlooker in self._all if onlooker.form == form]
        width = max((onlooker.width for onlooker in of_form), default=0)
        show = Show(form, width, min((onlooker.every_s for onlooker in of_form), default=None))
        if show != self._asked.get(form, Show(form, 0, None)):
            self._asked[form] = show
            self._ask(show)
