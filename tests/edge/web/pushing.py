"""What takes pushes at the gate under test."""

from typing import TYPE_CHECKING

from sync.pull import Puller
from sync.push import PushSink
from tests.sync.rig import HostRecord, News

if TYPE_CHECKING:
    from tests.edge.web.conftest import Venue


def a_puller(venue: "Venue") -> Puller:
    box = venue.box
    return Puller(box.store, box.clock.now, box.crm, HostRecord(News()), box.accept)


def a_sink(venue: "Venue") -> PushSink:
    return PushSink(a_puller(venue), venue.box.store)
