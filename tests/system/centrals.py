"""A central as a process, stocked beforehand through its own functions."""

import subprocess
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import aiohttp

from crm import enrolment, service
from crm.central import open_central
from crm.importer import import_rows
from edge.clock import wall_clock
from sync.wire import DeviceModel
from tests.system.processes import BRAMA, Children, GateProcess, ended, poll


@dataclass
class CentralProcess:
    """One central: its database, and the process while there is one."""

    db: Path
    port: int
    children: Children
    http: aiohttp.ClientSession
    child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stock(self, tickets: int, *gates: GateProcess) -> None:
        """Put an event with tickets CODE-1, CODE-2, … in, and enrol the gates, each at a checkpoint of its own."""
        now = wall_clock()
        async with open_central(self.db, organiser="Palace") as central:
            db = central.db
            await service.put_event(
                db, id="e-1", name="Concert", tz="Europe/Kyiv", starts_at=now, ends_at=now + timedelta(hours=5)
            )
            await service.put_ticket_type(db, id="t-1", event="e-1", name="Standard")
            await import_rows(db, "e-1", [(f"CODE-{n}", None, f"T-{n}") for n in range(1, tickets + 1)])
            for number, gate in enumerate(gates, 1):
                point = await service.put_checkpoint(db, id=f"c-{number}", event="e-1", name=gate.name)
                code = await enrolment.make_enrolment_code(db, self.url, checkpoint=point.id)
                made = await enrolment.enrol(db, code.code, DeviceModel(name=gate.name))
                gate.crm = self.url
                gate.configure()
                gate.enrol(made.id, made.token, db.organiser.lookup_key)

    async def start(self) -> None:
        """Start the process and wait until it answers."""
        arguments = ("crm", "serve", "--port", str(self.port), "--db", str(self.db))
        self.child = self.children.start(*BRAMA, *arguments, log="central")
        await poll(self._answers)

    async def _answers(self) -> bool:
        assert self.child is not None
        assert self.child.poll() is None
        try:
            async with self.http.get(f"{self.url}/gate/v1/changes") as answer:
                return answer.status == 401
        except aiohttp.ClientError:
            return False

    async def stop(self) -> int:
        """Ask the process to stop; return its exit code."""
        assert self.child is not None
        self.child.terminate()
        return await ended(self.child)
