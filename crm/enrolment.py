"""Devices: enrolled once with a code, known by a token of which only the hash is kept, heard of by heartbeats."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from crm import catalogue, schema
from crm.database import Database, Read
from crm.errors import BadInput, Denied, NotFound
from crm.service import new_id
from sync.wire import AssignmentLine, DeviceModel, EnrolmentCode

CODE_LIFETIME = timedelta(hours=24)
_MAX_LIFETIME = timedelta(days=30)
# Crockford's base32: no I, L, O or U, so that a code read out over the phone arrives. 12 of them are 60 bits.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_CHARS = 12


@dataclass(frozen=True, slots=True)
class Device:
    """An enrolled box."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Enrolled(Device):
    """What a box is handed once; `token` is nowhere to be read again."""

    token: str


def _hash(secret: str) -> str:
    # Random secrets of 60 bits and more need no slow hash; one digest finds the row.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


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
    if not timedelta(0) < lifetime <= _MAX_LIFETIME:
        raise BadInput("lifetime", "more than nothing and at most 30 days")
    raw = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARS))
    async with db.write() as tx:
        if checkpoint is not None and await catalogue.get(tx, "checkpoint", checkpoint) is None:
            raise NotFound("checkpoint", f"no checkpoint has the id {checkpoint}; see brama crm checkpoint list")
        await tx.connection.execute(
            sa.insert(schema.enrolment_code).values(
                code_hash=_hash(raw),
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
        row = await tx.row(sa.select(table).where(table.c.code_hash == _hash(_bare(code))))
        if row is None:
            raise Denied(403, "code_unknown", "code: no such enrolment code; check it, or make a new one in the CRM")
        if row.used_at is not None:
            raise Denied(403, "code_used", "code: it has enrolled a device already; make a new one in the CRM")
        if tx.now >= row.expires_at:
            raise Denied(403, "code_expired", "code: it is too old; make a new one in the CRM")
        made = Enrolled(new_id("d"), row.name or about.name or "Gate", secrets.token_urlsafe(32))
        await tx.connection.execute(
            sa.insert(schema.device).values(
                id=made.id,
                name=made.name,
                hardware=about.hardware,
                serial=about.serial,
                software=about.software,
                token_hash=_hash(made.token),
                enrolled_at=tx.now,
                last_seq=0,
                faults=0,
            )
        )
        await tx.connection.execute(
            sa.update(table).where(table.c.code_hash == row.code_hash).values(used_at=tx.now, device=made.id)
        )
        if row.checkpoint is not None:
            await catalogue.assign(tx, AssignmentLine(device=made.id, checkpoint=row.checkpoint))
    return made


async def device_of_token(tx: Read, token: str) -> Device:
    """Return whose token this is.

    Raises:
        Denied: 401 `token_unknown` or `token_revoked`.
    """
    table = schema.device.c
    row = await tx.row(sa.select(table.id, table.name, table.revoked_at).where(table.token_hash == _hash(token)))
    if row is None:
        raise Denied(401, "token_unknown", "this token is not known here: enrol the device")
    if row.revoked_at is not None:
        raise Denied(401, "token_revoked", "this device has been revoked: enrol it anew if that was a mistake")
    return Device(row.id, row.name)


async def revoke_device(db: Database, device: str) -> None:
    """Take a device's right to call away for good; its scans stay."""
    table = schema.device
    async with db.write() as tx:
        if await tx.row(sa.select(table.c.id).where(table.c.id == device)) is None:
            raise NotFound("device", f"no device has the id {device}; see brama crm device list")
        unrevoked = sa.and_(table.c.id == device, table.c.revoked_at.is_(None))
        await tx.connection.execute(sa.update(table).where(unrevoked).values(revoked_at=tx.now))


async def keep_heartbeat(db: Database, device: str, health: dict[str, Any]) -> datetime:
    """Keep what a device says of its health in place of what it said before; return the time now."""
    table = schema.heartbeat
    async with db.write() as tx:
        # Written as ASCII: whatever escapes the JSON held, the text can be stored.
        text = json.dumps(health)
        await tx.connection.execute(sa.delete(table).where(table.c.device == device))
        await tx.connection.execute(sa.insert(table).values(device=device, at=tx.now, health=text))
    return tx.now
