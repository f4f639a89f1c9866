"""What enrolment gave this box, and the tokens of those who may talk to it: files of mode 0600 in the data folder.

systemd may hand the credentials over instead (systemd.exec, LoadCredential=), as `brama-credentials`.
"""

import hashlib
import json
import os
import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.core.admission import instant_text
from edge.core.barcodes import KEY_BYTES
from edge.store.database import sync_folder

FILE_NAME = "credentials.json"
TOKENS_NAME = "tokens.json"
SYSTEMD_NAME = "brama-credentials"


class BadCredentials(Exception):
    """The credentials cannot be used; the message says why and what mends it."""


class Credentials(BaseModel):
    """What the CRM handed out at enrolment, or what a box without one made for itself."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    url: str
    device_id: Annotated[str, Field(min_length=1)]
    name: str
    organiser: str
    token: Annotated[str, Field(min_length=1)] | None
    lookup_key: Annotated[bytes, Field(min_length=32, max_length=32)]
    pulls: bool = False
    """The settings name no CRM: pull from `url`, which the enrolment code that was read named."""

    @property
    def own(self) -> bool:
        """Tell whether the box made them for itself, so that it may yet be enrolled."""
        return self.token is None


def load_credentials(data_path: Path) -> Credentials | None:
    """Read the credentials; None: this box is not enrolled.

    Raises:
        BadCredentials: unreadable or damaged.
    """
    path = _path_of(data_path)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise BadCredentials(f"{path}: {exc.strerror}; it must belong to the user that runs the gate") from exc
    try:
        return Credentials.model_validate_json(text)
    except ValidationError as exc:
        field = ".".join(str(part) for part in exc.errors()[0]["loc"]) or "the file"
        raise BadCredentials(f"{path}: {field} is damaged; enrol this box again with brama enrol URL CODE") from exc


def save_credentials(data_path: Path, credentials: Credentials) -> Path:
    """Write the credentials, whole or not at all; return where."""
    path = data_path / FILE_NAME
    write_private(path, credentials.model_dump_json(indent=1))
    return path


def make_credentials(name: str) -> Credentials:
    """Make an identity and a lookup key for a box that has no CRM."""
    device_id = f"d-{secrets.token_hex(4)}"
    key = secrets.token_bytes(KEY_BYTES)
    return Credentials(url="", device_id=device_id, name=name, organiser=name, token=None, lookup_key=key)


def _path_of(data_path: Path) -> Path:
    handed = os.environ.get("CREDENTIALS_DIRECTORY")
    if handed and (Path(handed) / SYSTEMD_NAME).exists():
        return Path(handed) / SYSTEMD_NAME
    return data_path / FILE_NAME


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read; it is there whole or as it was, whenever the power goes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if os.geteuid() == 0:
            # A command run as root must not leave what the gate's user cannot read.
            owner = path.parent.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    sync_folder(path.parent)


class ApiTokens:
    """The tokens that `brama token` made, kept as SHA-256; follows the file while the gate runs."""

    def __init__(self, data_path: Path) -> None:
        self._path = data_path / TOKENS_NAME
        self._stamp = (-1, -1)
        self._digests: frozenset[str] = frozenset()

    def make(self, name: str, now: datetime) -> str:
        """Make a token and keep its digest; the token itself is shown once and never stored."""
        token = secrets.token_urlsafe(32)
        entries = [*self._read(), {"name": name, "sha256": _digest(token), "made_at": instant_text(now)}]
        write_private(self._path, json.dumps(entries, ensure_ascii=False, indent=1))
        return token

    def allows(self, token: str) -> bool:
        """Tell whether the token was made here."""
        try:
            stat = self._path.stat()
        except OSError:
            return False
        if (stat.st_mtime_ns, stat.st_ino) != self._stamp:
            self._digests = frozenset(entry["sha256"] for entry in self._read())
            self._stamp = (stat.st_mtime_ns, stat.st_ino)
        # Digests are compared: how long that takes tells nothing of the token.
        return _digest(token) in self._digests

    def _read(self) -> list[dict[str, str]]:
        try:
            entries: list[dict[str, str]] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as exc:
            raise BadCredentials(f"{self._path}: cannot be read ({exc}); delete it and make the tokens anew") from exc
        return entries


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
