"""Devices: enrolled once with a code, revoked, heard of by heartbeats."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from crm import catalogue, schema
from crm.database import Database
from crm.devices import Device, hash_of
from crm.dialect import upsert
from crm.errors import BadInput, Denied, NotFound
from crm.schema import storable
from crm.service import new_id
from sync.wire import AssignmentLine, DeviceModel, EnrolmentCode

CODE_LIFETIME = timedelta(hours=24)
_MAX_LIFETIME = timedelta(days=30)
# Crockford's base32: no I, L, O or U, so that a code read out over the phone arrives. 12 of them are 60 bits.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_CHARS = 12
MOST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled(Device):
    """What a box is handed once; `token` is nowhere to be read again."""

    token: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a device says of its health."""

    device: str
    health: dict[str, Any]


def _bare(code: str) -> str:
    """Return a typed code as it was made: case, dashes and spaces do not matter, O is 0, I and L are 1."""
    bare = code.upper().replace("-", "").replace(" ", "")
    return bare.translate(str.maketrans("OIL", "011"))


async def make_enrolment_code(
    db: Database,
    url: str,
    *,
    name: str | None = None,
    checkpoint: str | None = None,
    lifetime: timedelta = CODE_LIFETIME,
) -> EnrolmentCode:
    """Make a code that enrols one box within `lifetime`; it is shown now and never again.

    `url` is where the box will find this central. `name` names the box in place of what it calls itself;
    `checkpoint` assigns all its lanes at once. The answer's `model_dump_json()` is what the QR holds.
    """
    if name is not None and not (len(name) <= MOST_NAME and name.isprintable()):
        raise BadInput("name", f"at most {MOST_NAME} characters that can be shown")
    if not timedelta(0) < lifetime <= _MAX_LIFETIME:
        raise BadInput("lifetime", "more than nothing and at most 30 days")
    raw = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARS))
    async with db.write() as tx:
        if checkpoint is not None and await catalogue.get(tx, "checkpoint", checkpoint) is None:
            raise NotFound("checkpoint", f"no checkpoint has the id {checkpoint}; see brama crm checkpoint list")
        await tx.connection.execute(
            sa.insert(schema.enrolment_code).values(
                code_hash=hash_of(raw),
                name=name,
                checkpoint=checkpoint,
                created_at=tx.now,
                expires_at=tx.now + lifetime,
            )
        )
    return EnrolmentCode(url=url, code="-".join(raw[at : at + 4] for at in range(0, _CODE_CHARS, 4)))


async def enrol(db: Database, code: str, about: DeviceModel) -> Enrolled:
    """Enrol the box that shows this code.

    Raises:
        Denied: 403 `code_unknown`, `code_used` or `code_expired`.
    """
    table = schema.enrolment_code
    async with db.write() as tx:
        row = await tx.row(sa.select(table).where(table.c.code_hash == hash_of(_bare(code))))
        if row is None:
            raise Denied(403, "code_unknown", "code: no such enrolment code; check it, or make a new one in the CRM")
        if row.used_at is not None:
            raise Denied(403, "code_used", "code: it has enrolled a device already; make a new one in the CRM")
        if tx.now >= row.expires_at:
            raise Denied(403, "code_expired", "code: it is too old; make a new one in the CRM")
        made = Enrolled(new_id("d"), row.name or storable(about.name) or "Gate", token=secrets.token_urlsafe(32))
        await tx.connection.execute(
            sa.insert(schema.device).values(
                id=made.id,
                name=made.name,
                hardware=about.hardware and storable(about.hardware),
                serial=about.serial and storable(about.serial),
                software=about.software and storable(about.software),
                token_hash=hash_of(made.token),
                enrolled_at=tx.now,
                last_seq=0,
                faults=0,
            )
        )
        await tx.connection.execute(
            sa.update(table).where(table.c.code_hash == row.code_hash).values(used_at=tx.now, device=made.id)
        )
        tx.devices += 1
        if row.checkpoint is not None:
            await catalogue.assign(tx, AssignmentLine(device=made.id, checkpoint=row.checkpoint))
    return made


async def revoke_device(db: Database, device: str) -> None:
    """Take a device's right to call away for good; its scans stay."""
    table = schema.device
    async with db.write() as tx:
        if await tx.row(sa.select(table.c.id).where(table.c.id == device)) is None:
            raise NotFound("device", f"no device has the id {device}; see brama crm device list")
        unrevoked = sa.and_(table.c.id == device, table.c.revoked_at.is_(None))
        await tx.connection.execute(sa.update(table).where(unrevoked).values(revoked_at=tx.now))
        tx.devices += 1


async def keep_heartbeats(db: Database, beats: Sequence[Heartbeat]) -> list[datetime]:
    """Keep what devices say of their health in place of what they said before; return the time now for each.

    The feed tells none of it, and its writers do not wait for it.
    """
    # Written as ASCII: whatever escapes the JSON held, the text can be stored. The last of a device counts.
    newest = {beat.device: json.dumps(beat.health) for beat in beats}
    async with db.aside() as connection:
        rows = [{"device": each, "at": db.clock(), "health": health} for each, health in sorted(newest.items())]
        await connection.execute(upsert(connection, schema.heartbeat), rows)
    return [db.clock()] * len(beats)
