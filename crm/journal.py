"""The order of a device's journal, checked as it arrives: what is wrong is kept with the device and logged.

Scans are accepted all the same: a scan that happened is worth more than an order that is whole. The chain is the
gate's (`edge.store.records.chain_hash`): a row's hash is SHA-256 over the bytes of its `prev` and its JSON as sent,
keys sorted, no spaces, UTF-8, without `prev` and `passage`; the next row carries it as its `prev`.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from crm import schema
from crm.database import Write
from crm.enrolment import Device
from sync.wire import ScanModel

_log = logging.getLogger(__name__)
_HASH_BYTES = 32
_OUTSIDE = frozenset({"prev", "passage"})


def chain_hash(raw: Mapping[str, Any]) -> str | None:
    """Return the hash that the row after this one carries, in hex; None where `prev` is not a hash."""
    try:
        prev = bytes.fromhex(raw.get("prev", ""))
    except (TypeError, ValueError):
        return None
    if len(prev) != _HASH_BYTES:
        return None
    body = {key: value for key, value in raw.items() if key not in _OUTSIDE}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(prev + text.encode("utf-8", "surrogatepass")).hexdigest()


async def watch_journal(
    tx: Write, device: Device, by_seq: Mapping[int, Mapping[str, Any]], new: Sequence[ScanModel]
) -> None:
    """Move the device's last seq on, and record gaps, rows changed or removed, and seqs used twice.

    `by_seq` are the rows of one request as sent, also those sent again; call before storing the `new` ones.
    """
    table = schema.device
    columns = (table.c.last_seq, table.c.last_hash, table.c.faults)
    row = await tx.row(sa.select(*columns).where(table.c.id == device.id))
    if row is None or not by_seq:
        return
    hashes = {seq: chain_hash(raw) for seq, raw in by_seq.items()}
    faults = _gaps(row.last_seq, sorted(by_seq))
    faults += _breaks({row.last_seq: row.last_hash, **hashes}, by_seq)
    faults += await _twice(tx, device, new)
    values: dict[str, object] = {}
    if (last := max(by_seq)) > row.last_seq:
        values |= {"last_seq": last, "last_hash": hashes[last]}
    if faults:
        _log.warning("device %s (%s): %s", device.id, device.name, "; ".join(faults[:10]))
        values |= {"faults": row.faults + len(faults), "last_fault": faults[-1], "last_fault_at": tx.now}
    if values:
        await tx.connection.execute(sa.update(table).where(table.c.id == device.id).values(values))


def _gaps(last_seq: int, seqs: Sequence[int]) -> list[str]:
    faults = []
    # The first batch of all sets the start: a box enrolled anew goes on with its old journal.
    expected = last_seq + 1 if last_seq else seqs[0]
    for seq in seqs:
        if seq > expected:
            faults.append(f"gap in the journal: expected seq {expected}, got {seq}")
        expected = max(expected, seq + 1)
    return faults


def _breaks(hashes: Mapping[int, str | None], by_seq: Mapping[int, Mapping[str, Any]]) -> list[str]:
    return [
        f"the journal was changed: prev of seq {seq} is not the hash of seq {seq - 1}"
        for seq, raw in sorted(by_seq.items())
        if (before := hashes.get(seq - 1)) is not None and raw.get("prev") != before
    ]


async def _twice(tx: Write, device: Device, new: Sequence[ScanModel]) -> list[str]:
    if not new:
        return []
    scan = schema.scan.c
    query = sa.select(scan.seq).where(scan.device == device.id, scan.seq.in_([each.seq for each in new]))
    return [f"seq {row.seq} came twice, with different scans" for row in await tx.rows(query)]
