"""What the gate and a camera's own process say to each other: one packet a message, over a socket pair.

A packet is a line of JSON (`"say"` names the message), and after its line end a picture where there is one. This module
is loaded on both sides, so it knows no camera, no decoder and no array. The camera's process handles what strangers
hold up to it, so the gate takes nothing from it that is not as it is written here.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from drivers.camera.unpacking import Nonsense, built, plain

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
    open_s: float = 10.0
    """How long the source may take until its first picture."""
    stall_s: float = 5.0
    """How long it may then send none, before it counts as lost."""


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
    picture: bytes | None = field(default=None, repr=False)
    """A small JPEG of it, where it holds a code and pictures are kept."""


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


@dataclass(frozen=True, slots=True)
class Decode:
    """Decode an image file: asked of a process whose task is `Stills`, which answers each with one `StillDone`."""

    path: str


ToCamera = Task | Show | Decode

_FROM_CAMERA: dict[str, type[Any]] = {each.__name__: each for each in (Up, Seen, Alive, Shown, StillDone, Ended)}
_TO_CAMERA: dict[str, type[Any]] = {each.__name__: each for each in (Task, Show, Decode)}


def packed(message: FromCamera | ToCamera) -> bytes:
    """Return a message as a packet.

    Raises:
        Nonsense: it is longer than a packet may be, or holds text that is not Unicode.
    """
    body = plain(message)
    picture: bytes = body.pop("picture", None) or b""
    try:
        packet = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" + picture
    except UnicodeEncodeError as exc:
        raise Nonsense("text that is not Unicode") from exc
    if len(packet) > MOST_BYTES:
        raise Nonsense(f"{len(packet)} bytes")
    return packet


def from_camera(packet: bytes) -> FromCamera:
    """Return what a camera's process says.

    Raises:
        Nonsense: it is no message, or one that is not as it should be.
    """
    message = cast("FromCamera", _unpacked(packet, _FROM_CAMERA))
    if isinstance(message, Shown):
        size = message.width * message.height
        if message.form == "luma" and len(message.picture) != size:
            raise Nonsense(f"{len(message.picture)} bytes for {size} pixels")
    return message


def to_camera(packet: bytes) -> ToCamera:
    """Return what the gate says; raise as `from_camera`."""
    return cast("ToCamera", _unpacked(packet, _TO_CAMERA))


def _unpacked(packet: bytes, known: dict[str, type[Any]]) -> object:
    if len(packet) > MOST_BYTES:
        raise Nonsense("too long")
    line, _, picture = packet.partition(b"\n")
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Nonsense(f"not JSON ({type(exc).__name__})") from exc
    said = body.get("say") if isinstance(body, dict) else None
    if not isinstance(said, str) or said not in known:
        raise Nonsense("no message of this name")
    if picture:
        body["picture"] = picture
    message: object = built(known[said], body)
    return message
