"""A CRM that pushes to a gate's real store and sink."""

from collections.abc import AsyncIterator, Sequence

from sync.push import Caller, Outcome, PushSink
from sync.state import Progress
from tests.sync.book import Line, packed
from tests.sync.rig import START, Rig

CRM = Caller("the CRM's token", "192.0.2.7")
PHONE = Caller("a phone's token", "192.0.2.8")
NOBODY = Caller(None, "127.0.0.1")


async def body(data: bytes, size: int = 50) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def shown(rig: Rig) -> tuple[str, str | None, Progress | None]:
    """What the page and `brama status` have of the CRM."""
    return rig.health.state, rig.health.error, rig.health.progress


async def cut(data: bytes) -> AsyncIterator[bytes]:
    """A body whose sender goes away."""
    async for chunk in body(data):
        yield chunk
    raise ConnectionResetError


class Pusher:
    """A CRM that pushes, and expects to be taken or refused."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.sink = PushSink(rig.puller, rig.store)

    async def sends(self, lines: Sequence[Line], since: str | None = None, by: Caller = CRM, size: int = 50) -> Outcome:
        outcome = await self.sink.apply(body(packed(lines), size), by, since)
        assert outcome.refusal is None, outcome.refusal
        return outcome

    async def is_refused(self, lines: Sequence[Line], since: str | None = None, by: Caller = CRM) -> Outcome:
        outcome = await self.sink.apply(body(packed(lines)), by, since)
        assert outcome.refusal is not None
        return outcome

    async def restarts(self) -> None:
        """Forget what a gate that ends forgets, and start again."""
        self.rig.store.hold(None)
        self.rig.accept.clear()
        self.sink = PushSink(self.rig.puller, self.rig.store)
        await self.sink.resume()

    async def reads(self, after: int, by: Caller = CRM, limit: int = 100) -> list[int]:
        """Read scans as the API gives them."""
        rows = await self.rig.store.scans_after(after, limit)
        await self.sink.scans_read(by, after, rows[-1].seq if rows else 0, START)
        return [row.seq for row in rows]
