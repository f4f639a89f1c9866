"""Devices and their tokens, of which only the hash is kept."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from crm import schema
from crm.errors import Denied
from crm.transactions import Read


@dataclass(frozen=True, slots=True)
class Device:
    """An enrolled box."""

    id: str
    name: str
    revoked: bool = False


Devices = Mapping[str, Device]
"""All devices by the hash of their token."""


def hash_of(secret: str) -> str:
    """Return what is kept of a token or a code."""
    # Random secrets of 60 bits and more need no slow hash; one digest finds the row.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


async def all_devices(tx: Read) -> Devices:
    """Read all devices, the revoked too."""
    table = schema.device.c
    query = sa.select(table.id, table.name, table.token_hash, table.revoked_at)
    return {row.token_hash: Device(row.id, row.name, row.revoked_at is not None) for row in await tx.rows(query)}


async def device_of_token(tx: Read, token: str) -> Device:
    """Return whose token this is.

    Raises:
        Denied: 401 `token_unknown` or `token_revoked`.
    """
    table = schema.device.c
    row = await tx.row(sa.select(table.id, table.name, table.revoked_at).where(table.token_hash == hash_of(token)))
    return admitted(row and Device(row.id, row.name, row.revoked_at is not None))


def admitted(device: Device | None) -> Device:
    """Return a device that was found by its token, if it may call.

    Raises:
        Denied: 401 `token_unknown` or `token_revoked`.
    """
    if device is None:
        raise Denied(401, "token_unknown", "this token is not known here: enrol the device")
    if device.revoked:
        raise Denied(401, "token_revoked", "this device has been revoked: enrol it anew if that was a mistake")
    return device
