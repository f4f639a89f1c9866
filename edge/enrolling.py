"""How a box becomes known to a CRM, by a command or by reading the code that the CRM shows; and the way there since."""

import asyncio
import base64
import platform
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from config.settings import BadSettings, BramaCrmSettings, FileCrmSettings, Settings
from edge.clock import wall_clock
from edge.core.enrolment import EnrolmentCode
from edge.judging import NotAllowed
from edge.store.credentials import (
    BadCredentials,
    Credentials,
    load_credentials,
    make_credentials,
    save_credentials,
)
from edge.store.store import Store
from edge.store.tx import Identity
from sync.connector import Connector
from sync.crm_brama import BramaCrm
from sync.engine import SyncEngine
from sync.errors import LinkDown
from sync.state import CrmHealth
from sync.wire import DeviceModel, EnrolRequest


def read_credentials(data_path: Path) -> Credentials | None:
    """Read the credentials.

    Raises:
        BadSettings: they cannot be used.
    """
    try:
        return load_credentials(data_path)
    except BadCredentials as exc:
        raise BadSettings(str(exc)) from exc


def known_credentials(settings: Settings) -> Credentials | None:
    """Return who this box is, if it is enrolled; one that has no CRM makes itself an identity, once and for good.

    Raises:
        BadSettings: the credentials cannot be used, or not be kept.
        OSError: the disk is at fault.
    """
    data_path = settings.device.data_path
    found = read_credentials(data_path)
    if not isinstance(settings.crm, FileCrmSettings):
        return found if found is None or not found.own else None
    if found is None:
        found = make_credentials(settings.device.name)
        try:
            save_credentials(data_path, found)
        except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError) as exc:
            mend = "give it to the gate's user"
            raise BadSettings(f"device.data_path: {exc.filename}: {exc.strerror}; {mend}") from exc
    return found


def identity_of(credentials: Credentials | None) -> Identity | None:
    """Return who this box is to the CRM."""
    return Identity(credentials.device_id, credentials.lookup_key) if credentials else None


async def enrol(settings: Settings, url: str, code: str, *, pulls: bool = False) -> Credentials:
    """Trade an enrolment code for an identity and keep it.

    Raises:
        EnrolmentRefused, LinkDown: as `BramaCrm.enrol`.
        OSError: the data folder cannot be written.
    """
    crm = _connector(url)
    try:
        answer = await crm.enrol(EnrolRequest(code=code, device=describe_device(settings)))
    finally:
        await crm.close()
    credentials = Credentials(
        url=url,
        device_id=answer.device_id,
        name=answer.name,
        organiser=answer.organiser,
        token=answer.token,
        lookup_key=base64.b64decode(answer.lookup_key),
        pulls=pulls,
    )
    await asyncio.to_thread(save_credentials, settings.device.data_path, credentials)
    return credentials


def _connector(url: str, token: str | None = None) -> BramaCrm:
    """Make the way to a CRM.

    Raises:
        LinkDown: there can be no such address.
    """
    import httpx  # late: sync.crm_brama has it loaded without its command line

    try:
        return BramaCrm(url, token)
    except httpx.InvalidURL as exc:
        raise LinkDown(f"crm.url: {url}: {exc}; write it as https://crm.example") from exc


def describe_device(settings: Settings) -> DeviceModel:
    """Say what this box is."""
    model = Path("/proc/device-tree/model")
    serial = Path("/proc/device-tree/serial-number")
    return DeviceModel(
        name=settings.device.name,
        hardware=_text_of(model) or platform.machine(),
        serial=_text_of(serial),
        software=f"brama on Python {platform.python_version()}",
    )


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text().strip("\0\n ")[:200] or None
    except (OSError, UnicodeDecodeError):
        return None


def crm_url(settings: Settings, credentials: Credentials | None) -> str | None:
    """Return the CRM to pull from: the settings' own, else the one whose enrolment code was read; None: it pushes.

    None, too, of a box that reads barcode files.
    """
    if isinstance(settings.crm, BramaCrmSettings):
        return settings.crm.url
    return credentials.url if settings.crm is None and credentials is not None and credentials.pulls else None


class CrmLink:
    """The way to the CRM. Its jobs wait until this box is enrolled, which may happen while it runs.

    Raises:
        BadSettings: there can be no such address as the CRM's.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        health: CrmHealth,
        engine: Callable[[Connector], SyncEngine],
        credentials: Credentials | None,
        now: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._settings = settings
        self._store = store
        self._health = health
        self._make_engine = engine
        self._engine: SyncEngine | None = None
        self._now = now
        self._connector: Connector | None = None
        self._opened = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.credentials = credentials
        """Who this box is to the CRM, once enrolled."""
        health.url = crm_url(settings, None)
        if credentials is not None:
            try:
                self._open(credentials)
            except LinkDown as exc:
                raise BadSettings(str(exc)) from exc
        elif settings.crm is not None:
            health.error = "not enrolled: scan an enrolment code of the CRM, or run brama enrol URL CODE"

    def _open(self, credentials: Credentials) -> None:
        if isinstance(self._settings.crm, FileCrmSettings):
            # Late: a gate with a CRM needs none of it.
            from edge.without_crm import file_crm, place_of

            folder = self._settings.device.data_path
            self._connector = file_crm(self._settings, self._settings.crm, credentials, folder, self._now, self._tell)
            url: str | None = place_of(self._settings.crm)
        else:
            url = crm_url(self._settings, credentials)
            if url is None:
                return
            self._connector = _connector(url, credentials.token)
        self._engine = self._make_engine(self._connector)
        self._health.url, self._health.state, self._health.error = url, "connecting", None
        self._opened.set()

    def _tell(self, note: str | None) -> None:
        self._health.note = note

    async def enrol(self, asked: EnrolmentCode) -> Credentials:
        """Enrol this box with the CRM that an enrolment code names, and go to work at once.

        Raises:
            NotAllowed: it is enrolled already, needs no CRM, or its settings name another.
            EnrolmentRefused, LinkDown, OSError: as `enrol`.
        """
        async with self._one_at_a_time:
            named = self._settings.crm
            if isinstance(named, FileCrmSettings):
                raise NotAllowed('crm.kind: this box reads its tickets from files; for a CRM set crm.kind = "brama"')
            if self.credentials is not None:
                raise NotAllowed(f"code: this box is enrolled with {self.credentials.organiser} already")
            if named is not None and named.url.rstrip("/") != asked.url.rstrip("/"):
                raise NotAllowed(f"crm.url: the settings name {named.url}, the code {asked.url}; mend one of them")
            self.credentials = await enrol(self._settings, asked.url, asked.code, pulls=True)
            await self._store.enrol(Identity(self.credentials.device_id, self.credentials.lookup_key))
            self._open(self.credentials)
            return self.credentials

    async def close(self) -> None:
        """Close the connection."""
        if self._connector is not None:
            await self._connector.close()

    # --- jobs -------------------------------------------------------------------------------------------------------

    async def run_changes(self) -> NoReturn:
        """Take changes in."""
        await (await self._when_open()).run_changes()

    async def run_scans(self) -> NoReturn:
        """Send scans out."""
        await (await self._when_open()).run_scans()

    async def run_audit(self) -> NoReturn:
        """Count the list anew, part by part."""
        await (await self._when_open()).run_audit()

    async def run_heartbeat(self) -> NoReturn:
        """Tell how this box fares."""
        await (await self._when_open()).run_heartbeat()

    async def _when_open(self) -> SyncEngine:
        await self._opened.wait()
        assert self._engine is not None, "an open link has an engine"  # noqa: S101
        return self._engine
