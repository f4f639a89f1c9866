"""The gate's settings: one TOML file, checked whole before anything opens.

The environment overrides a key: `BRAMA_WEB__PORT=8081`. Secrets are never in it.
"""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

DEFAULT_PATH = Path("/etc/brama/gate.toml")
EXIT_BAD_SETTINGS = 78
"""`EX_CONFIG` of sysexits.h; systemd does not start the unit again after it."""

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
LaneId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")]


class BadSettings(Exception):
    """Wrong or missing settings; the message names every problem at once."""


def _address(url: str) -> str:
    try:
        _ = urlsplit(url).port
    except ValueError as exc:
        raise ValueError(f"crm.url: {exc}; write it as https://crm.example or https://crm.example:8443") from exc
    return url


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

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
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


class SerialReader(_Reader):
    """A scanner on a serial port (USB CDC-ACM or RS-232), one code a line."""

    driver: Literal["serial"]
    device: Annotated[str, Field(pattern=r"^/dev/")]
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600


class FakeTurnstile(_Table):
    """A turnstile made of nothing, for practice: a guest passes `passes_after_s` after each release.

    `passes` false: nobody ever does. `sensor` false: it cannot tell, so every admission counts as passed.
    """

    driver: Literal["fake"]
    passes: bool = True
    sensor: bool = True
    passes_after_s: Annotated[float, Field(ge=0)] = 1.0
    passage_timeout_s: Annotated[float, Field(gt=0, le=120)] = 8.0


ReaderSettings = Annotated[TerminalReader | SerialReader, Field(discriminator="driver")]


class LaneSettings(_Table):
    """`[[lane]]`: one scanning position."""

    id: LaneId
    direction: Literal["entry", "exit", "both"] = "entry"
    checkpoint: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    readers: tuple[ReaderSettings, ...] = ()
    turnstile: FakeTurnstile | None = None
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


def _problem(error: ErrorDetails) -> str:
    """Put one validation error into words: the key, what is wrong, what mends it."""
    # A union's tag stands in the location of what lies inside it, which no key in the file is called.
    loc = [str(part) for part in error["loc"] if part not in {"terminal", "serial", "fake"}]
    key = ".".join(loc)
    match error["type"]:
        case "missing":
            return f"{key}: missing; add it"
        case "extra_forbidden":
            return f"{key}: no such key{_nearest(loc)}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case "union_tag_invalid" | "union_tag_not_found":
            context = error.get("ctx", {})
            return f"{key}.driver: {context.get('tag', 'missing')}; use one of {context.get('expected_tags', '')}"
        case _:
            found = error["input"]
            shown = f" (found {found!r})" if isinstance(found, (str, int, float)) else ""
            return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}{shown}"


def _nearest(loc: list[str]) -> str:
    """Suggest the key that was meant."""
    tables: dict[str, type[BaseModel]] = {
        "device": DeviceSettings,
        "crm": CrmSettings,
        "web": WebSettings,
        "journal": JournalSettings,
        "lane": LaneSettings,
    }
    known = tables[loc[0]].model_fields if len(loc) > 1 and loc[0] in tables else Settings.model_fields
    close = difflib.get_close_matches(loc[-1], known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
