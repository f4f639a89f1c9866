"""The scans of one request, each checked for itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from crm.devices import Device
from crm.errors import bad_input
from crm.schema import storable
from crm.service import ID_FORM
from sync.wire import MAX_SCANS, Rejected, ScanModel

_LARGEST = (1 << 63) - 1
# A gate with no clock at all says 1970; what lies outside is not a time that a calendar can count days around.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a device sent: scans that are `new` here or came `again`, those rejected, and all rows by seq as sent."""

    device: Device
    new: list[ScanModel] = field(default_factory=list)
    again: list[ScanModel] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    by_seq: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def scan_ids(self) -> set[str]:
        """The ids of the scans that are stored."""
        return {scan.scan_id for scan in (*self.new, *self.again)}


def batch_of(device: Device, raw: Sequence[dict[str, Any]]) -> Batch:
    """Check the scans of a request; all that will do pass for new, since that is for the database to say."""
    batch, good = Batch(device), dict[str, ScanModel]()
    for each in raw:
        seq = each.get("seq")
        if isinstance(seq, int) and 1 <= seq <= _LARGEST:
            batch.by_seq[seq] = each
        scan = _checked(each)
        if isinstance(scan, Rejected):
            batch.rejected.append(scan)
        else:
            batch.by_seq[scan.seq] = each
            good.setdefault(scan.scan_id, scan)
    batch.new.extend(good.values())
    return batch


def fit(batches: Sequence[Batch], more: Batch) -> bool:
    """Tell whether these and one more can be stored together: no more than one request may hold, each device once."""
    count = sum(len(each.by_seq) for each in (*batches, more))
    return count <= MAX_SCANS and all(each.device.id != more.device.id for each in batches)


def sorted_out(batches: Sequence[Batch], owners: dict[str, str]) -> list[Batch]:
    """Return the batches with what is not new put where it belongs.

    `owners` tells which device has sent each scan that is stored, and learns of those that will be.
    """
    found = []
    for batch in batches:
        here = Batch(batch.device, [], list(batch.again), list(batch.rejected), batch.by_seq)
        for scan in batch.new:
            if scan.scan_id not in owners:
                owners[scan.scan_id] = batch.device.id
                here.new.append(scan)
            elif owners[scan.scan_id] == batch.device.id:
                here.again.append(scan)
            else:
                message = "scan_id: another device has sent a scan with this id; ids must be unique"
                here.rejected.append(Rejected(scan_id=scan.scan_id, code="scan_id_taken", message=message))
        found.append(here)
    return found


def _checked(raw: dict[str, Any]) -> ScanModel | Rejected:
    scan_id = raw.get("scan_id")
    named = scan_id if isinstance(scan_id, str) and len(scan_id) <= 200 else ""
    try:
        scan = ScanModel.model_validate({name: storable(v) if isinstance(v, str) else v for name, v in raw.items()})
    except ValidationError as exc:
        return Rejected(scan_id=named, code="invalid", message=str(bad_input(exc)))
    complaint = None
    if not ID_FORM.fullmatch(scan.scan_id):
        complaint = "scan_id: 1 to 64 letters, digits or any of . _ : -"
    elif scan.seq > _LARGEST:
        complaint = "seq: at most 2^63 - 1"
    elif not _EARLIEST <= scan.at < _LATEST:
        complaint = "at: between 1970 and 2200"
    return Rejected(scan_id=named, code="invalid", message=complaint) if complaint else scan
