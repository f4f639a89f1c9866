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
from crm.batches import Batch
from crm.devices import Device
from crm.transactions import Write

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


async def watch_journals(tx: Write, batches: Sequence[Batch]) -> None:
    """Move the last seq of each batch's device on, and record gaps, rows changed or removed, and seqs used twice.

    A batch holds the rows of one request as sent, also those sent again. Call before storing the new ones.
    """
    sent = {batch.device.id: batch for batch in batches if batch.by_seq}
    if not sent:
        return
    table = schema.device
    columns = (table.c.id, table.c.last_seq, table.c.last_hash, table.c.faults)
    moved = []
    for row in await tx.rows(sa.select(*columns).where(table.c.id.in_(list(sent)))):
        batch = sent[row.id]
        hashes = {seq: chain_hash(raw) for seq, raw in batch.by_seq.items()}
        faults = _gaps(row.last_seq, sorted(batch.by_seq))
        faults += _breaks({row.last_seq: row.last_hash, **hashes}, batch.by_seq)
        faults += await _twice(tx, batch, row.last_seq)
        if faults:
            await _record(tx, batch.device, row.faults, faults)
        if (last := max(batch.by_seq)) > row.last_seq:
            moved.append({"device": row.id, "last_seq": last, "last_hash": hashes[last]})
    if moved:
        named = sa.update(table).where(table.c.id == sa.bindparam("device"))
        values = named.values(last_seq=sa.bindparam("last_seq"), last_hash=sa.bindparam("last_hash"))
        await tx.connection.execute(values, moved)


async def _record(tx: Write, device: Device, before: int, faults: Sequence[str]) -> None:
    _log.warning("device %s (%s): %s", device.id, device.name, "; ".join(faults[:10]))
    table = schema.device
    values = {"faults": before + len(faults), "last_fault": faults[-1], "last_fault_at": tx.now}
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


async def _twice(tx: Write, batch: Batch, last_seq: int) -> list[str]:
    # What lies beyond the last seq that came cannot have come before.
    seqs = [scan.seq for scan in batch.new if scan.seq <= last_seq]
    if not seqs:
        return []
    scan = schema.scan.c
    query = sa.select(scan.seq).where(scan.device == batch.device.id, scan.seq.in_(seqs))
    return [f"seq {row.seq} came twice, with different scans" for row in await tx.rows(query)]
