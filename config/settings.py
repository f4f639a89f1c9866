"""The gate's settings: one TOML file, checked whole before anything opens.

The environment overrides a key: `BRAMA_WEB__PORT=8081`. Secrets are never in it.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from edge.core.enrolment import names_a_host

DEFAULT_PATH = Path("/etc/brama/gate.toml")
EXIT_BAD_SETTINGS = 78
"""`EX_CONFIG` of sysexits.h; systemd does not start the unit again after it."""

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
LaneId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")]


class BadSettings(Exception):
    """Wrong or missing settings; the message names every problem at once."""


def _address(url: str) -> str:
    mend = "write it as https://name.example or http://10.0.0.7:8080/relay"
    try:
        _ = urlsplit(url).port
    except ValueError as exc:
        raise ValueError(f"{exc}; {mend}") from exc
    if not names_a_host(url):
        raise ValueError(f"no host that there can be, or no port; {mend}")
    return url


def _host(host: str) -> str:
    if not names_a_host(f"http://[{host}]" if ":" in host else f"http://{host}"):
        raise ValueError(f"{host!r} is no host; write it as 10.0.0.9 or relay.local, with no http:// and no port")
    return host


Host = Annotated[str, Field(pattern=r"^[^\s/?#@\[\]]+$", max_length=253), AfterValidator(_host)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceSettings(_Table):
    """`[device]`: this box."""

    name: Name
    data_path: Path = Path("/var/lib/brama")
    language: Literal["uk", "en", "ru"] = "uk"


class CrmSettings(_Table):
    """`[crm]`: where the whitelist comes from; left out, a gate lives on what is pushed to it."""

    kind: Literal["brama"] = "brama"
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$"), AfterValidator(_address)]


class WebSettings(_Table):
    """`[web]`: the gate's own API and page."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080


class JournalSettings(_Table):
    """`[journal]`: how long sent scans stay before they are archived, in days."""

    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30


class _Reader(_Table):
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

    @model_validator(mode="after")
    def _named(self) -> Self:
        described = (self.usb, self.serial, self.port) != (None, None, None)
        if (self.device is not None) == described:
            raise ValueError(
                "name the device by its path, or by usb, serial and port; see brama devices for what is there"
            )
        return self


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


def _line_id(value: object) -> int | str:
    if isinstance(value, str) and 1 <= len(value) <= 32:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 1023:
        return value
    raise ValueError('a line is its number on the chip, such as 17, or its name there, such as "GPIO17"')


def _as_table(value: object) -> object:
    """A line that is wired the usual way needs no table."""
    return value if isinstance(value, (dict, BaseModel)) else {"line": value}


class LineSettings(_Table):
    """A GPIO line by its number on the chip or its name there. `active_low`: it is active at ground level."""

    line: Annotated[int | str, PlainValidator(_line_id)]
    active_low: bool = False
    bias: Literal["as_is", "disabled", "pull_up", "pull_down"] = "as_is"
    debounce_ms: Annotated[int, Field(ge=0, le=1000)] = 5
    """For inputs: how long a contact must be still."""


GpioLine = Annotated[LineSettings, BeforeValidator(_as_table)]


class FakeTurnstile(_Table):
    """A turnstile made of nothing, for practice: a guest passes `passes_after_s` after each release.

    `passes` false: nobody ever does. `sensor` false: it cannot tell, so every admission counts as passed.
    """

    driver: Literal["fake"]
    passes: bool = True
    sensor: bool = True
    passes_after_s: Annotated[float, Field(ge=0)] = 1.0
    passage_timeout_s: Annotated[float, Field(gt=0, le=120)] = 8.0


class GpioTurnstile(_Table):
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


class HttpCall(_Table):
    """A request to a network relay: a template in which `{lane}`, `{pulse_ms}` and `{pulse_s}` are filled in."""

    method: Literal["GET", "POST", "PUT"] = "GET"
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+([/?][^\s#]*)?$"), AfterValidator(_address)]
    body: Annotated[str, Field(max_length=4096)] | None = None
    content_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+-]+$")] = "application/json"

    def filled(self, facts: Mapping[str, str]) -> dict[str, Any]:
        """Return the request with its places filled; other braces, such as those of JSON, stay as they are."""
        found = self.model_dump()
        for name, value in facts.items():
            found["url"] = found["url"].replace(f"{{{name}}}", value)
            found["body"] = found["body"] and found["body"].replace(f"{{{name}}}", value)
        return found


class HttpTurnstile(_Table):
    """A network relay that obeys HTTP; without `off` it ends the pulse by itself."""

    driver: Literal["http"]
    on: HttpCall
    off: HttpCall | None = None
    pulse_ms: Annotated[int, Field(ge=20, le=30_000)] = 500
    timeout_s: Annotated[float, Field(gt=0, le=10)] = 2.0


class ModbusTurnstile(_Table):
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


class GpioLights(_Table):
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


ReaderSettings = Annotated[TerminalReader | SerialReader | EvdevReader | HidrawReader, Field(discriminator="driver")]
TurnstileSettings = Annotated[
    FakeTurnstile | GpioTurnstile | HttpTurnstile | ModbusTurnstile, Field(discriminator="driver")
]


class LaneSettings(_Table):
    """`[[lane]]`: one scanning position."""

    id: LaneId
    direction: Literal["entry", "exit", "both"] = "entry"
    checkpoint: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    readers: tuple[ReaderSettings, ...] = ()
    turnstile: TurnstileSettings | None = None
    lights: GpioLights | None = None
    repeat_s: Annotated[float, Field(ge=0, le=60)] = 3.0


class Settings(BaseSettings):
    """The whole file. Frozen: what a part was given cannot change under it."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="BRAMA_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    device: DeviceSettings
    crm: CrmSettings | None = None
    web: WebSettings = WebSettings()
    journal: JournalSettings = JournalSettings()
    lane: Annotated[tuple[LaneSettings, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        ids = [lane.id for lane in self.lane]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"lane.id: {', '.join(twice)} is there twice; give each lane its own id")
        terminals = [lane.id for lane in self.lane for reader in lane.readers if reader.driver == "terminal"]
        if len(terminals) > 1:
            raise ValueError(f"lane.readers: one terminal cannot serve several readers ({', '.join(terminals)})")
        uses = [use for lane in self.lane for use in _uses_of(lane)]
        if shared := sorted({each for each in uses if uses.count(each) > 1}):
            raise ValueError(f"lane: {'; '.join(shared)}: there twice, and a box has one of it; name another")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file; read nothing else."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def _uses_of(lane: LaneSettings) -> list[str]:
    """Name the things of which a box has one, and which a lane takes for itself."""
    found = []
    for reader in lane.readers:
        if isinstance(reader, _Plugged):
            named = {"device": reader.device, "usb": reader.usb, "serial": reader.serial, "port": reader.port}
            found.append(
                " ".join([f"{reader.driver} reader", *(f"{key} {value}" for key, value in named.items() if value)])
            )
    for part in (lane.turnstile, lane.lights):
        if isinstance(part, (GpioTurnstile, GpioLights)):
            lines = [getattr(part, name) for name in type(part).model_fields if name.endswith("_line")]
            found += [f"line {each.line} of {part.chip}" for each in lines if each is not None]
    match lane.turnstile:
        case HttpTurnstile(on=on):
            shown = re.sub(r"//[^/]*@", "//", on.url)  # a password is nobody's business
            found.append(f"relay {on.method} {shown}" + (f" {on.body}" if on.body else ""))
        case ModbusTurnstile(host=host, port=port, unit=unit, coil=coil, passage_input=passage):
            found.append(f"coil {coil} of {host}:{port} unit {unit}")
            found += [f"input {passage} of {host}:{port} unit {unit}"] if passage is not None else []
        case _:
            pass
    return found


def load_settings(path: Path) -> Settings:
    """Read and check one file.

    Raises:
        BadSettings: with every problem, each by the name of its key and what mends it.
    """
    try:
        tables = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError as exc:
        raise BadSettings(f"{path}: no such file; name one with -c, or copy one of config/*.toml there") from exc
    except OSError as exc:
        raise BadSettings(f"{path}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise BadSettings(f"{path}: not UTF-8 at byte {exc.start}; save the file as UTF-8") from exc
    except tomllib.TOMLDecodeError as exc:
        raise BadSettings(f"{path}: not TOML: {exc}") from exc
    return check_settings(tables, str(path))


def check_settings(tables: dict[str, Any], origin: str) -> Settings:
    """Check parsed tables; `origin` is named in the error.

    Raises:
        BadSettings: as `load_settings`.
    """
    try:
        return Settings(**tables)
    except ValidationError as exc:
        # A lane that is wrong inside is also counted as absent, which would only mislead.
        errors = exc.errors(include_url=False)
        if any(each["loc"][:1] == ("lane",) and len(each["loc"]) > 1 for each in errors):
            errors = [each for each in errors if each["loc"] != ("lane",)]
        problems = [_problem(each) for each in errors]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise BadSettings(f"{origin}: {count}\n" + "\n".join(f"  {each}" for each in problems)) from exc
    except SettingsError as exc:
        # It says which, but not what the environment calls it.
        key = next((each for each in Settings.model_fields if f'"{each}"' in str(exc)), "")
        raise BadSettings(f"environment: BRAMA_{key.upper()}: not JSON; mend it or unset it") from exc


def _problem(error: ErrorDetails) -> str:
    """Put one validation error into words: the key, what is wrong, what mends it."""
    key = ".".join(_keys_of(error["loc"]))
    match error["type"]:
        case "missing":
            return f"{key}: missing; add it"
        case "extra_forbidden":
            return f"{key}: no such key{_nearest(error['loc'])}"
        case "value_error":
            said = str(error["msg"]).removeprefix("Value error, ")
            return said if not key or said.startswith(key) else f"{key}: {said}"
        case "union_tag_invalid":
            context = error.get("ctx", {})
            return f"{key}.driver: {context['tag']}; use one of {context['expected_tags']}"
        case "union_tag_not_found":
            drivers = _DRIVERS_OF["turnstile" if error["loc"][-1] == "turnstile" else "readers"]
            return f"{key}.driver: missing; use one of {', '.join(map(repr, drivers))}"
        case "model_type" | "model_attributes_type":
            return f"{key}: write it as a table, with its keys in {{ }}"
        case "tuple_type":
            return f"{key}: write it as a list, with its parts in [ ]"
        case _:
            found = error["input"]
            shown = f" (found {found!r})" if isinstance(found, (str, int, float)) else ""
            return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}{shown}"


def _keys_of(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the file that lead to an error: a driver's name stands among them only for pydantic."""
    return [
        str(part)
        for at, part in enumerate(loc)
        if not (part in _DRIVERS and (loc[at - 1] == "turnstile" or loc[at - 2 : at - 1] == ("readers",)))
    ]


_TABLES: dict[str, type[BaseModel]] = {
    "device": DeviceSettings,
    "crm": CrmSettings,
    "web": WebSettings,
    "journal": JournalSettings,
    "lane": LaneSettings,
    "lights": GpioLights,
    "on": HttpCall,
    "off": HttpCall,
}
_DRIVERS: dict[str, type[BaseModel]] = {
    "terminal": TerminalReader,
    "serial": SerialReader,
    "evdev": EvdevReader,
    "hidraw": HidrawReader,
    "fake": FakeTurnstile,
    "gpio": GpioTurnstile,
    "http": HttpTurnstile,
    "modbus": ModbusTurnstile,
}
_DRIVERS_OF = {"readers": ("terminal", "serial", "evdev", "hidraw"), "turnstile": ("fake", "gpio", "http", "modbus")}


def _nearest(loc: tuple[int | str, ...]) -> str:
    """Suggest the key that was meant."""
    known: Iterable[str] = Settings.model_fields
    for part in loc[:-1]:
        if isinstance(part, str):
            table = _DRIVERS.get(part) or _TABLES.get(part)
            known = table.model_fields if table else ("line", "active_low", "bias", "debounce_ms")
    close = difflib.get_close_matches(str(loc[-1]), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
