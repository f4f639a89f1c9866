"""The gate's settings: one TOML file, checked whole before anything opens.

The environment overrides a key: `BRAMA_WEB__PORT=8081`. Secrets are never in it.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from config.fields import BaseUrl, Host, RequestUrl, Table, ZoneName
from config.hardware import GpioLights, ReaderSettings, TurnstileSettings, Use
from config.problems import described

DEFAULT_PATH = Path("/etc/brama/gate.toml")
EXIT_BAD_SETTINGS = 78
"""`EX_CONFIG` of sysexits.h; systemd does not start the unit again after it."""

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
LaneId = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")]


class BadSettings(Exception):
    """Wrong or missing settings; the message names every problem at once."""


class DeviceSettings(Table):
    """`[device]`: this box."""

    name: Name
    data_path: Path = Path("/var/lib/brama")
    language: Literal["uk", "en", "ru"] = "uk"


class BramaCrmSettings(Table):
    """`[crm]` of kind `brama`: a CRM that speaks the Gate API."""

    kind: Literal["brama"] = "brama"
    url: BaseUrl


class FileCrmSettings(Table):
    """`[crm]` of kind `file`: barcode files instead of a CRM, and CSV files of what was scanned.

    `path` is a file or a folder, `url` a file that is asked for anew every `every_s` seconds. `scans_path` left out is
    the folder `scans` of the data folder, `plan_path` the plan beside the files, `tz` the box's own zone.
    """

    kind: Literal["file"]
    path: Path | None = None
    url: RequestUrl | None = None
    every_s: Annotated[float, Field(ge=5, le=86_400)] | None = None
    plan_path: Path | None = None
    scans_path: Path | None = None
    tz: ZoneName | None = None
    skip_bad: bool = False

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.url is None):
            raise ValueError("crm: name a path, or a url, and not both")
        if self.every_s is not None and self.url is None:
            raise ValueError("crm.every_s: of no account with a path, which is watched; leave it out")
        return self


def _kind_of(table: Any) -> Any:
    return table.get("kind", "brama") if isinstance(table, dict) else getattr(table, "kind", None)


CrmSettings = Annotated[
    Annotated[BramaCrmSettings, Tag("brama")] | Annotated[FileCrmSettings, Tag("file")], Discriminator(_kind_of)
]
"""`[crm]`: where the whitelist comes from; left out, a gate lives on what is pushed to it."""


class WebSettings(Table):
    """`[web]`: the gate's own API and page."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080

    @property
    def local_url(self) -> str:
        """Where this machine itself finds it, without a slash at the end."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 (listening everywhere)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class JournalSettings(Table):
    """`[journal]`: how long sent scans stay before they are archived, in days."""

    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30


class LaneSettings(Table):
    """`[[lane]]`: one scanning position."""

    id: LaneId
    direction: Literal["entry", "exit", "both"] = "entry"
    checkpoint: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    readers: tuple[ReaderSettings, ...] = ()
    turnstile: TurnstileSettings | None = None
    lights: GpioLights | None = None
    repeat_s: Annotated[float, Field(ge=0, le=60)] = 3.0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        wrong = [
            InitErrorDetails(
                type=PydanticCustomError(
                    "value_error",
                    '{way}, but its lane is for {lane}; leave it out, or give the lane direction = "both"',
                    {"way": reader.direction, "lane": self.direction},
                ),
                loc=("readers", at, reader.driver, "direction"),
                input=reader.direction,
            )
            for at, reader in enumerate(self.readers)
            if reader.direction is not None and self.direction not in ("both", reader.direction)
        ]
        if wrong:  # told as the readers' own errors are, each by its key, which a ValueError of the lane has not
            raise ValidationError.from_exception_data("lane", wrong)
        return self

    def uses(self) -> list[Use]:
        """Name what the lane takes for itself of which a box has one."""
        parts = (*self.readers, self.turnstile, self.lights)
        return [use for part in parts if part is not None for use in part.uses(self.id)]


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

    @property
    def scans_path(self) -> Path | None:
        """The folder into which scans are written out; None: they go to a CRM."""
        if not isinstance(self.crm, FileCrmSettings):
            return None
        return self.crm.scans_path or self.device.data_path / "scans"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if isinstance(self.crm, FileCrmSettings) and self.scans_path == self.crm.path:
            raise ValueError("crm.scans_path: the folder of the barcode files; scans are no barcodes, name another")
        ids = [lane.id for lane in self.lane]
        if twice := sorted({each for each in ids if ids.count(each) > 1}):
            raise ValueError(f"lane.id: {', '.join(twice)} is there twice; give each lane its own id")
        terminals = [lane.id for lane in self.lane for reader in lane.readers if reader.driver == "terminal"]
        if len(terminals) > 1:
            raise ValueError(f"lane.readers: one terminal cannot serve several readers ({', '.join(terminals)})")
        uses = [use for lane in self.lane for use in lane.uses()]
        if shared := sorted({each.name for each in uses if uses.count(each) > 1}):
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
        problems = [described(each, Settings) for each in errors]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise BadSettings(f"{origin}: {count}\n" + "\n".join(f"  {each}" for each in problems)) from exc
    except SettingsError as exc:
        # It says which, but not what the environment calls it.
        key = next((each for each in Settings.model_fields if f'"{each}"' in str(exc)), "")
        raise BadSettings(f"environment: BRAMA_{key.upper()}: not JSON; mend it or unset it") from exc
