"""`brama camera IMAGE...`: decodes still pictures, and writes a line for each code."""

import json
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from config.hardware import DEFAULT_SYMBOLOGIES, SYMBOLOGIES
from config.settings import BadSettings
from drivers.camera.messages import StillDone
from edge.visible import visible


@dataclass(slots=True)
class Tally:
    """How many pictures were looked at, how many of them held a code, and how many could not be read."""

    pictures: int = 0
    with_code: int = 0
    unreadable: int = 0

    @property
    def all_read(self) -> bool:
        """Tell whether each picture held a code, and there was one."""
        return 0 < self.pictures == self.with_code

    def add(self, done: StillDone) -> None:
        """Count one more."""
        self.pictures += 1
        self.with_code += bool(done.codes)
        self.unreadable += done.error is not None

    def __str__(self) -> str:
        parts = [f"pictures: {self.pictures}", f"with a code: {self.with_code}"]
        return ", ".join((*parts, f"not readable: {self.unreadable}") if self.unreadable else parts)


def check_paths(paths: Sequence[str]) -> None:
    """Refuse what is neither a file nor a folder by its very form.

    Raises:
        BadSettings: the message names it, and the mend.
    """
    for path in paths:
        if path == "-":
            raise BadSettings("IMAGE: -: standard input is not read; name a file or a folder")
        if "://" in path:
            raise BadSettings(f"IMAGE: {visible(path.partition('://')[0])}://...: an address; show a stream with --url")


def chosen_symbologies(text: str | None) -> tuple[str, ...]:
    """Return the symbologies that `all`, or a list with commas, names; None: those that a camera reads.

    Raises:
        BadSettings: there is no such symbology.
    """
    if text is None:
        return DEFAULT_SYMBOLOGIES
    if text == "all":
        return SYMBOLOGIES
    names = tuple(dict.fromkeys(name for each in text.split(",") if (name := each.strip())))
    wrong = [visible(name) for name in names if name not in SYMBOLOGIES]
    if wrong or not names:
        said = f"{', '.join(wrong)}: not known" if wrong else "none is named"
        raise BadSettings(f"--symbologies: {said}; use all, or some of {','.join(SYMBOLOGIES)}")
    return names


async def decode(paths: Sequence[str], symbologies: str | None, say: Callable[[str], None], *, as_json: bool) -> Tally:
    """Say of each picture what it holds, as soon as that is known; `symbologies` as `chosen_symbologies` takes them.

    Raises:
        BadSettings: a path or a symbology cannot be meant.
        DeviceRefused: the decoder is not installed.
    """
    from drivers.scanner_camera import decode_stills

    check_paths(paths)
    tally = Tally()
    async with aclosing(decode_stills(paths, chosen_symbologies(symbologies), all_codes=True)) as stills:
        async for done in stills:
            tally.add(done)
            for line in [as_object(done)] if as_json else lines_of(done):
                say(line)
    return tally


def lines_of(done: StillDone) -> list[str]:
    """Write what a picture holds for people: a line for each code, or one that says why there is none."""
    name = visible(done.path)
    if done.error is not None:
        return [f"{name}  {visible(done.error)}"]
    took = f"{done.took_ms:.1f} ms"
    if not done.codes:
        return [f"{name}  no code  {took}"]
    return [f"{name}  {each.kind}  {each.symbology}  {took}  {visible(each.text)}" for each in done.codes]


def as_object(done: StillDone) -> str:
    """Write what a picture holds as one line of JSON, in ASCII: a code may hold anything."""
    codes = [
        {"text": each.text, "kind": each.kind, "symbology": each.symbology, "outline": each.outline}
        for each in done.codes
    ]
    return json.dumps(
        {
            "path": done.path,
            "width": done.width,
            "height": done.height,
            "took_ms": round(done.took_ms, 1),
            "codes": codes,
            "error": done.error,
        }
    )
