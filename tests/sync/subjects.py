"""Every kind of CRM that a gate can have, each real, behind one face: tickets are sold there, scans arrive there."""

import csv
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
from aiohttp import web

from crm import schema, service
from crm.central import Central, open_central
from crm.importer import import_rows
from edge.clock import wall_clock
from edge.core.barcodes import lookup_of, lookup_text
from edge.core.fingerprint import Fingerprint, row_digest
from sync.connector import Connector
from sync.crm_brama import BramaCrm
from sync.crm_file import FileCrm
from sync.file_plan import Owner
from sync.file_source import PathSource, Source
from sync.scan_files import ScanFiles
from sync.url_source import UrlSource
from tests.sync.book import KEY
from tests.sync.office import stocked
from tests.sync.rig import served

OWNER = Owner("d-1", KEY, "North 1", "Concert", "Europe/Kyiv")
AN_INSTANT_S = 0.02
"""What takes seconds at a gate, where nobody waits for it."""


class Subject(ABC):
    """A CRM, and the connector towards it. Ticket T-n has the code CODE-n."""

    ticket_type: str

    def __init__(self, connector: Connector, device_id: str, key: bytes) -> None:
        self.connector = connector
        self.device_id = device_id
        self._key = key
        self._states: dict[int, str] = {}

    @property
    def listed(self) -> Fingerprint:
        """What the list must come to."""
        found = Fingerprint()
        for number, state in self._states.items():
            lookup = lookup_text(lookup_of(self._key, f"CODE-{number}"))
            found = found.plus(row_digest(lookup, f"T-{number}", self.ticket_type, state, None, None))
        return found

    async def sells(self, *numbers: int, state: str = "valid") -> None:
        """Put tickets into a state, new ones or old."""
        self._states |= dict.fromkeys(numbers, state)
        await self._put(list(numbers), state)

    async def withdraws(self, *numbers: int) -> None:
        """Take tickets off the list."""
        for number in numbers:
            del self._states[number]
        await self._delete(list(numbers))

    @abstractmethod
    async def _put(self, numbers: list[int], state: str) -> None: ...

    @abstractmethod
    async def _delete(self, numbers: list[int]) -> None: ...

    @abstractmethod
    async def scans(self) -> list[tuple[int, str]]:
        """Return seq and scan_id of each scan that arrived."""

    @abstractmethod
    async def goes(self) -> None:
        """Be out of reach from now on, for tickets and for scans."""

    @abstractmethod
    def reconnected(self) -> Connector:
        """Return another connector to the same CRM, as after a restart of the gate."""


class BramaSubject(Subject):
    """The reference central on a socket."""

    ticket_type = "t-1"

    def __init__(self, central: Central, url: str, token: str, device_id: str, key: bytes) -> None:
        super().__init__(BramaCrm(url, token), device_id, key)
        self._central = central
        self._way = url, token
        self.serving = AsyncExitStack()

    async def _put(self, numbers: list[int], state: str) -> None:
        await import_rows(self._central.db, "e-1", [(f"CODE-{n}", None, f"T-{n}", state) for n in numbers])

    async def _delete(self, numbers: list[int]) -> None:
        await service.delete_tickets(self._central.db, [f"T-{n}" for n in numbers])

    async def scans(self) -> list[tuple[int, str]]:
        table = schema.scan.c
        async with self._central.db.read() as tx:
            rows = await tx.rows(sa.select(table.seq, table.scan_id).order_by(table.seq))
        return [(row.seq, row.scan_id) for row in rows]

    async def goes(self) -> None:
        await self.serving.aclose()

    def reconnected(self) -> Connector:
        return BramaCrm(*self._way)


class FileSubject(Subject):
    """A file that is written anew at each sale, as a seller's export is."""

    ticket_type = "standard"

    def __init__(self, folder: Path, source: Callable[[], Source]) -> None:
        self._folder = folder
        self._source = source
        super().__init__(self.reconnected(), "d-1", KEY)
        self.path.parent.mkdir()
        self._write()

    @property
    def path(self) -> Path:
        return self._folder / "tickets" / "seller.csv"

    async def _put(self, numbers: list[int], state: str) -> None:
        self._write()

    async def _delete(self, numbers: list[int]) -> None:
        self._write()

    def _write(self) -> None:
        part = self.path.with_suffix(".part")
        rows = [f"CODE-{number},T-{number},Standard,{state}\n" for number, state in self._states.items()]
        part.write_text("code,id,type,state\n" + "".join(rows))
        part.replace(self.path)

    async def scans(self) -> list[tuple[int, str]]:
        found = []
        for path in sorted((self._folder / "scans").glob("*.csv")):
            with path.open(newline="") as file:
                found += [(int(row["seq"]), row["scan_id"]) for row in csv.DictReader(file)]
        return found

    async def goes(self) -> None:
        (self._folder / "tickets").rename(self._folder / "gone")
        scans = self._folder / "scans"
        if scans.exists():
            scans.rename(self._folder / "gone-scans")
        scans.touch()  # where a folder cannot be made

    def reconnected(self) -> Connector:
        return FileCrm(self._source(), ScanFiles(self._folder / "scans"), OWNER, wall_clock)


@asynccontextmanager
async def a_central(folder: Path) -> AsyncIterator[Subject]:
    async with open_central(folder / "central.db") as central, AsyncExitStack() as serving:
        identity, token = await stocked(central)
        url = await serving.enter_async_context(served(central.app()))
        subject = BramaSubject(central, url, token, identity.device_id, identity.lookup_key)
        subject.serving = serving.pop_all()
        async with subject.serving:
            yield subject
            await subject.connector.close()


@asynccontextmanager
async def a_folder(folder: Path) -> AsyncIterator[Subject]:
    subject = FileSubject(folder, lambda: PathSource(folder / "tickets", poll_s=AN_INSTANT_S, settle_s=AN_INSTANT_S))
    yield subject
    await subject.connector.close()


@asynccontextmanager
async def a_file(folder: Path) -> AsyncIterator[Subject]:
    path = folder / "tickets" / "seller.csv"
    subject = FileSubject(folder, lambda: PathSource(path, poll_s=AN_INSTANT_S, settle_s=AN_INSTANT_S))
    yield subject
    await subject.connector.close()


@asynccontextmanager
async def an_address(folder: Path) -> AsyncIterator[Subject]:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(subject.path) if subject.path.exists() else web.Response(status=503)

    app = web.Application()
    app.router.add_get("/seller.csv", answer)
    async with served(app) as url:
        data = folder / "data"
        data.mkdir()
        subject = FileSubject(folder, lambda: UrlSource(f"{url}/seller.csv", data, every_s=AN_INSTANT_S))
        yield subject
        await subject.connector.close()


SUBJECTS = {"brama": a_central, "folder": a_folder, "file": a_file, "address": an_address}
