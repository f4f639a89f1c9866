"""The tables of a lane that name hardware. A new driver is a table here, and a member of its union."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from config.fields import Host, RequestUrl, StreamUrl, Table, shown_url


@dataclass(frozen=True, slots=True)
class Use:
    """A thing of which a box has one, so that two parts cannot both have it.

    `name` is for people; `hidden` tells it apart, too, but may hold a password and is never shown.
    """

    name: str
    hidden: str = field(default="", repr=False)


class _Part(Table):
    def uses(self, _lane: str, /) -> list[Use]:
        """Name what this part takes for itself, at the lane of this id."""
        return []


class _Reader(_Part):
    direction: Literal["entry", "exit"] | None = None
    """What this reader's scans are, where the lane goes both ways; left out: the lane's, and entry for `both`."""


class TerminalReader(_Reader):
    """Codes typed at the terminal that started the gate: a code and Enter."""

    driver: Literal["terminal"]


class _Plugged(_Reader):
    """A device that may be plugged in anywhere: named by its path, or by what it says of itself and its USB port."""

    device: Annotated[str, Field(pattern=r"^/dev/")] | None = None
    usb: Annotated[str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")] | None = None
    """Vendor and product, as `brama devices` and lsusb show them."""
    serial: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    port: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """USB port, such as `1-1.2`: tells apart two scanners that are otherwise the same."""
    driver: str

    @model_validator(mode="after")
    def _named(self) -> Self:
        described = (self.usb, self.serial, self.port) != (None, None, None)
        if (self.device is not None) == described:
            raise ValueError(
                "name the device by its path, or by usb, serial and port; see brama devices for what is there"
            )
        return self

    def uses(self, _lane: str, /) -> list[Use]:
        """Name the device as it is described."""
        keys = ("device", "usb", "serial", "port")
        named = " ".join(f"{key} {value}" for key in keys if (value := getattr(self, key)))
        return [Use(f"{self.driver} reader {named}")]


class SerialReader(_Plugged):
    """A scanner on a serial port (USB CDC-ACM or RS-232), one code a line."""

    driver: Literal["serial"]
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    xonxoff: bool = False


class EvdevReader(_Plugged):
    """A scanner that types like a keyboard; the gate takes it for itself."""

    driver: Literal["evdev"]
    layout: Literal["us", "uk", "de", "fr", "ua", "ru"] = "us"
    """The keyboard that the scanner is set to imitate."""
    prefix: Annotated[str, Field(max_length=20)] = ""
    suffix: Literal["enter", "tab", "none"] = "enter"
    """What the scanner types after a code; `none`: `gap_ms` without a key end it."""
    gap_ms: Annotated[int, Field(ge=10, le=2000)] = 50
    max_length: Annotated[int, Field(ge=1, le=4096)] = 4096


class HidrawReader(_Plugged):
    """A scanner in HID-POS mode: a report a code."""

    driver: Literal["hidraw"]


Symbology = Literal[
    "qr", "micro_qr", "aztec", "pdf417", "data_matrix", "code128", "code39", "ean_upc", "itf", "codabar"
]
SYMBOLOGIES: tuple[Symbology, ...] = get_args(Symbology)
"""What a camera can read."""
DEFAULT_SYMBOLOGIES = tuple(each for each in SYMBOLOGIES if each not in {"code39", "itf"})
"""What it reads unless told otherwise: in Code 39 and ITF every other barcode in view is easily misread for one."""
LEAST_REGION = 0.05
"""A region of the picture is no narrower or lower: nothing could be read in it."""

_OF_DEVICES = ("width", "height", "fps", "exposure_ms")
_OF_FRAMES = ("region", "rotate", "mirror")
_MEANT_FOR = {"url": _OF_DEVICES, "folder": (*_OF_DEVICES, *_OF_FRAMES)}
"""Which keys mean nothing to a stream, and to a folder."""


def _once_each(names: tuple[Symbology, ...]) -> tuple[Symbology, ...]:
    if not names:
        raise ValueError("none is named, so nothing would be read; name some, or leave symbologies out")
    if twice := sorted({each for each in names if names.count(each) > 1}):
        raise ValueError(f"{', '.join(twice)} is there twice; name each once")
    return names


def _inside(region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, width, height = region
    # A little more than 1, since 0.1 + 0.9 may be.
    fits = all(0 <= each <= 1 for each in region) and max(left + width, top + height) <= 1 + 1e-9
    if not fits or min(width, height) < LEAST_REGION:
        raise ValueError(
            "not inside the picture; write it as [left, top, width, height] in fractions of it, such as"
            " [0.25, 0.25, 0.5, 0.5] for its middle"
        )
    return region


class CameraReader(_Plugged):
    """A camera, which may be plugged in, a stream on the network, or a folder into which pictures are put."""

    driver: Literal["camera"]
    url: Annotated[StreamUrl | None, Field(repr=False)] = None
    """RTSP or HTTP; may hold a name and a password."""
    folder: Annotated[str, Field(pattern=r"^/", max_length=4096)] | None = None
    """Still pictures: those that are there, and those that are put there while the gate runs."""
    width: Annotated[int, Field(ge=160, le=3840)] = 1280
    height: Annotated[int, Field(ge=120, le=2160)] = 720
    fps: Annotated[int, Field(ge=1, le=120)] = 30
    exposure_ms: Annotated[float, Field(ge=0.1, le=1000)] | None = None
    """How long a frame is exposed; left out, the camera decides."""
    region: Annotated[tuple[float, float, float, float], AfterValidator(_inside)] = (0.0, 0.0, 1.0, 1.0)
    """Where codes are looked for: left, top, width and height as fractions of the picture as it is shown."""
    rotate: Literal[0, 90, 180, 270] = 0
    """By how much the picture is turned clockwise."""
    mirror: bool = False
    symbologies: Annotated[tuple[Symbology, ...], AfterValidator(_once_each)] = DEFAULT_SYMBOLOGIES
    codes: Literal["nearest", "all"] = "nearest"
    """Which to take of several in one picture: the one nearest its centre, or all."""
    on_page: bool = False
    """The lane's page shows the picture beside the verdict."""
    keep_refused_h: Annotated[int, Field(ge=0, le=720)] = 0
    """For how many hours a picture of each refused scan is kept; 0: none is."""

    @model_validator(mode="after")
    def _named(self) -> Self:
        ways = [key for key in ("device", "url", "folder") if getattr(self, key) is not None]
        ways += ["usb, serial or port"] if (self.usb, self.serial, self.port) != (None, None, None) else []
        if len(ways) != 1:
            found = f" ({', '.join(ways)} are given)" if ways else ""
            raise ValueError(
                "name the camera in one way: by device, by usb, serial and port, by url, or by folder"
                f"{found}; see brama devices for what is there"
            )
        idle = [key for key in _MEANT_FOR.get(ways[0], ()) if key in self.model_fields_set]
        if idle:  # told as the keys' own errors are
            raise ValidationError.from_exception_data("camera", [self._idle(key, ways[0]) for key in idle])
        return self

    def _idle(self, key: str, way: str) -> InitErrorDetails:
        said = PydanticCustomError("value_error", "of no account with a {way}; leave it out", {"way": way})
        return InitErrorDetails(type=said, loc=(key,), input=getattr(self, key))

    @property
    def is_plugged(self) -> bool:
        """Tell whether it is a device of this box."""
        return self.url is None and self.folder is None

    @property
    def shown(self) -> str:
        """Name a stream or a folder for people, without any password."""
        return shown_url(self.url) if self.url is not None else self.folder or ""

    def uses(self, lane: str, /) -> list[Use]:
        """Name the camera."""
        return super().uses(lane) if self.is_plugged else [Use(f"camera {self.shown}", hidden=self.url or "")]


def _line_id(value: object) -> int | str:
    if isinstance(value, str) and 1 <= len(value) <= 32:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1023:
        return value
    raise ValueError('a line is its number on the chip, such as 17, or its name there, such as "GPIO17"')


def _as_table(value: object) -> object:
    """A line that is wired the usual way needs no table."""
    return value if isinstance(value, (dict, BaseModel)) else {"line": value}


class LineSettings(Table):
    """A GPIO line by its number on the chip or its name there. `active_low`: it is active at ground level."""

    line: Annotated[int | str, PlainValidator(_line_id)]
    active_low: bool = False
    bias: Literal["as_is", "disabled", "pull_up", "pull_down"] = "as_is"
    debounce_ms: Annotated[int, Field(ge=0, le=1000)] = 5
    """For inputs: how long a contact must be still."""


GpioLine = Annotated[LineSettings, BeforeValidator(_as_table)]


def _lines_of(chip: str, *lines: LineSettings | None) -> list[Use]:
    return [Use(f"line {each.line} of {chip}") for each in lines if each is not None]


class FakeTurnstile(_Part):
    """A turnstile made of nothing, for practice: a guest passes `passes_after_s` after each release.

    `passes` false: nobody ever does. `sensor` false: it cannot tell, so every admission counts as passed.
    """

    driver: Literal["fake"]
    passes: bool = True
    sensor: bool = True
    passes_after_s: Annotated[float, Field(ge=0)] = 1.0
    passage_timeout_s: Annotated[float, Field(gt=0, le=120)] = 8.0


class GpioTurnstile(_Part):
    """A turnstile or door lock on GPIO lines of one chip."""

    driver: Literal["gpio"]
    chip: Annotated[str, Field(min_length=1, max_length=200)] = "/dev/gpiochip0"
    """Its node, its name or its label."""
    release_line: GpioLine
    pulse_ms: Annotated[int, Field(ge=20, le=30_000)] = 500
    passage_line: GpioLine | None = None
    passage_timeout_s: Annotated[float, Field(gt=0, le=120)] = 8.0
    fault_line: GpioLine | None = None
    open_line: GpioLine | None = None
    """The fire contact: while it is active the lane is held open."""

    def uses(self, _lane: str, /) -> list[Use]:
        """Name the lines."""
        return _lines_of(self.chip, self.release_line, self.passage_line, self.fault_line, self.open_line)


class HttpCall(Table):
    """A request to a network relay: a template in which `{lane}`, `{pulse_ms}` and `{pulse_s}` are filled in."""

    method: Literal["GET", "POST", "PUT"] = "GET"
    url: RequestUrl
    body: Annotated[str, Field(max_length=4096)] | None = None
    content_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$")] = "application/json"

    def filled(self, facts: Mapping[str, str]) -> dict[str, Any]:
        """Return the request with its places filled; other braces, such as those of JSON, stay as they are."""
        found = self.model_dump()
        for name, value in facts.items():
            found["url"] = found["url"].replace(f"{{{name}}}", value)
            found["body"] = found["body"] and found["body"].replace(f"{{{name}}}", value)
        return found


class HttpTurnstile(_Part):
    """A network relay that obeys HTTP; without `off` it ends the pulse by itself."""

    driver: Literal["http"]
    on: HttpCall
    off: HttpCall | None = None
    pulse_ms: Annotated[int, Field(ge=20, le=30_000)] = 500
    timeout_s: Annotated[float, Field(gt=0, le=10)] = 2.0

    def uses(self, lane: str, /) -> list[Use]:
        """Name the request that opens. Its pulse is left as it is written: it makes no other relay of it."""
        asked = self.on.filled({"lane": lane})
        return [Use(f"relay {self.on.method} {shown_url(asked['url'])}", hidden=f"{asked['url']} {asked['body']}")]


class ModbusTurnstile(_Part):
    """A network relay that obeys Modbus TCP; `coil` and `passage_input` count from 0."""

    driver: Literal["modbus"]
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)] = 502
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    coil: Annotated[int, Field(ge=0, le=65535)]
    pulse_ms: Annotated[int, Field(ge=20, le=30_000)] = 500
    timeout_s: Annotated[float, Field(gt=0, le=10)] = 2.0
    passage_input: Annotated[int, Field(ge=0, le=65535)] | None = None
    passage_timeout_s: Annotated[float, Field(gt=0, le=120)] = 8.0

    def uses(self, _lane: str, /) -> list[Use]:
        """Name the coil and the input."""
        box = f"{self.host}:{self.port} unit {self.unit}"
        passage = [] if self.passage_input is None else [Use(f"input {self.passage_input} of {box}")]
        return [Use(f"coil {self.coil} of {box}"), *passage]


class GpioLights(_Part):
    """Lamps and a buzzer on GPIO lines of one chip."""

    driver: Literal["gpio"]
    chip: Annotated[str, Field(min_length=1, max_length=200)] = "/dev/gpiochip0"
    green_line: GpioLine | None = None
    red_line: GpioLine | None = None
    buzzer_line: GpioLine | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if (self.green_line, self.red_line, self.buzzer_line) == (None, None, None):
            raise ValueError("no line; give green_line, red_line or buzzer_line, or leave lights out")
        return self

    def uses(self, _lane: str, /) -> list[Use]:
        """Name the lines."""
        return _lines_of(self.chip, self.green_line, self.red_line, self.buzzer_line)


ReaderSettings = Annotated[
    TerminalReader | SerialReader | EvdevReader | HidrawReader | CameraReader, Field(discriminator="driver")
]
TurnstileSettings = Annotated[
    FakeTurnstile | GpioTurnstile | HttpTurnstile | ModbusTurnstile, Field(discriminator="driver")
]
