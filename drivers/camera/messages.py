"""What the gate and a camera's own process say to each other: one packet a message, over a socket pair.

A packet is a line of JSON (`"say"` names the message), and after its line end a picture where there is one. This module
is loaded on both sides, so it knows no camera, no decoder and no array.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

MOST_BYTES = 200_000
"""A packet is no longer; a Unix socket takes 208 kB unless the system is told otherwise."""

Point = tuple[float, float]
"""Right and down, as fractions of the shown picture's width and height."""


@dataclass(frozen=True, slots=True)
class VideoDevice:
    """A V4L2 device by its node. `exposure_ms` None: the camera's own automatic exposure."""

    path: str
    width: int = 1280
    height: int = 720
    fps: int = 30
    exposure_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """An RTSP or HTTP stream. `url` may hold a password, so it is left out of `repr` and belongs in no message."""

    url: str = field(repr=False)
    shown: str
    """The address as people may see it."""


@dataclass(frozen=True, slots=True)
class Stills:
    """Image files, and folders of them, each decoded once and thoroughly. `follow`: then wait for new ones."""

    paths: tuple[str, ...]
    follow: bool = False


Source = VideoDevice | Stream | Stills


@dataclass(frozen=True, slots=True)
class Task:
    """What a camera's process is to do."""

    source: Source
    symbologies: tuple[str, ...]
    """Names in `drivers.camera.symbologies.SYMBOLOGIES`."""
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Where codes are looked for: left, top, width, height, as fractions of the shown picture."""
    rotate: Literal[0, 90, 180, 270] = 0
    """By how much the picture is turned, clockwise, before it is shown and decoded."""
    mirror: bool = False
    """The picture is shown, and decoded, with left and right exchanged, after it was turned."""
    all_codes: bool = False
    """Of several codes in one frame take all; else the one nearest the centre of the region."""
    keeps_pictures: bool = False
    """A picture goes with each code that comes into view."""


# --- from the camera's process --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sighting:
    """One code in one frame."""

    text: str
    symbology: str
    """AIM identifier (ISO/IEC 15424), such as `]Q1`."""
    kind: str
    """A name in `drivers.camera.symbologies.SYMBOLOGIES`."""
    outline: tuple[Point, ...]
    """Its four corners."""
    step: str
    """Which step of the decoding found it."""
    certain: bool = True
    """False: a symbology whose check lets misreads through, even after two equal reads."""


@dataclass(frozen=True, slots=True)
class Up:
    """The source gives pictures of this size in pixels, as shown."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Seen:
    """The codes that stand in a frame, each read often enough to be believed; also while nothing moves, now and then.

    `frame_at_s` is when the frame came (CLOCK_MONOTONIC); `took_ms` is how long it was decoded.
    """

    frame_at_s: float
    took_ms: float
    codes: tuple[Sighting, ...]
    picture: bytes | None = field(default=None, repr=False)
    """A small JPEG, for a code that has come into view, where pictures are kept."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Sent every second: counts since the start, and how long decoding took of late."""

    frames: int
    """That came."""
    dropped: int
    """That came while an earlier one was decoded."""
    still: int
    """In which nothing had moved, so that they were not decoded."""
    fps: float
    median_ms: float
    """Of decoding, over the last second; 0 where nothing was decoded."""
    brightness: float
    """Mean luma of the newest frame, 0 to 255."""
    sharpness: float
    """Variance of the Laplacian of the newest frame's luma: below about 30 it is out of focus, or shows nothing."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture for people: `form` `jpeg`, or `luma` (one byte a pixel, row by row), with the codes in that frame."""

    form: Literal["jpeg", "luma"]
    width: int
    height: int
    took_ms: float
    step: str
    """Which steps of the decoding ran on it; `still`: none."""
    codes: tuple[Sighting, ...]
    picture: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StillDone:
    """What one image file holds; `error` says why it could not be read, and what mends it."""

    path: str
    width: int
    height: int
    took_ms: float
    codes: tuple[Sighting, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The process ends. `refused`: until a person mends what `why` names; else it is worth trying again."""

    why: str
    refused: bool = False


FromCamera = Up | Seen | Alive | Shown | StillDone | Ended

# --- to the camera's process ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Show:
    """Send pictures for people, at most one in `every_s`, no wider than `width` pixels; None: send no more."""

    form: Literal["jpeg", "luma"]
    width: int
    every_s: float | None


class Nonsense(Exception):
    """A packet that is no message."""


_BY_NAME: dict[str, type[Any]] = {each.__name__: each for each in (Up, Seen, Alive, Shown, StillDone, Ended)}


def packed(message: FromCamera | Show) -> bytes:
    """Return a message as a packet."""
    body = asdict(message)
    picture = body.pop("picture", None) or b""
    return json.dumps({"say": type(message).__name__, **body}).encode() + b"\n" + picture
