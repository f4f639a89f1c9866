"""The fingerprint by which gate and CRM prove that they hold the same ticket list.

It is the sum modulo 2^128 of BLAKE2b-128 (RFC 7693), read big-endian, over each ticket's
`lookup|id|type|state|valid_from|valid_until` as sent, null written empty. A sum has no order and can be kept up row
by row: add the row that comes, subtract the row that goes.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_MODULUS = 1 << 128
_HEX = re.compile("[0-9a-f]{1,32}")


def row_digest(
    lookup: str, ticket_id: str, type_id: str, state: str, valid_from: str | None, valid_until: str | None
) -> int:
    """Digest one ticket row; all fields are the texts of the wire."""
    return row_digests([(lookup, ticket_id, type_id, state, valid_from, valid_until)])[0]


def row_digests(rows: Iterable[Sequence[str | None]]) -> list[int]:
    """Digest many ticket rows that begin with those six fields; what follows in a row does not count."""
    blake2b, number = hashlib.blake2b, int.from_bytes
    return [
        number(
            blake2b(f"{r[0]}|{r[1]}|{r[2]}|{r[3]}|{r[4] or ''}|{r[5] or ''}".encode(), digest_size=16).digest(), "big"
        )
        for r in rows
    ]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A ticket list's count and sum; immutable, so a half-applied change cannot leak into it."""

    count: int = 0
    total: int = 0

    def plus(self, digest: int) -> "Fingerprint":
        """Return the fingerprint with one more row."""
        return Fingerprint(self.count + 1, (self.total + digest) % _MODULUS)

    def minus(self, digest: int) -> "Fingerprint":
        """Return the fingerprint with one row fewer."""
        return Fingerprint(self.count - 1, (self.total - digest) % _MODULUS)

    def moved(self, count: int, total: int) -> "Fingerprint":
        """Return the fingerprint with so many more rows (fewer: negative), whose digests come to `total`."""
        return Fingerprint(self.count + count, (self.total + total) % _MODULUS)

    def joined(self, other: "Fingerprint") -> "Fingerprint":
        """Return the fingerprint of two lists together."""
        return self.moved(other.count, other.total)

    @classmethod
    def of_digests(cls, digests: Sequence[int]) -> "Fingerprint":
        """Return the fingerprint of the rows that have these digests."""
        return cls(len(digests), sum(digests) % _MODULUS)

    @classmethod
    def of_parts(cls, parts: Sequence["Fingerprint"]) -> "Fingerprint":
        """Return the fingerprint of several lists together."""
        return cls(sum(part.count for part in parts), sum(part.total for part in parts) % _MODULUS)

    def hex(self) -> str:
        """Write the sum as the wire does: 32 lower-case hex digits."""
        return f"{self.total:032x}"

    @classmethod
    def parse(cls, count: int, text: str) -> "Fingerprint":
        """Read a fingerprint off the wire or out of a store; leading zeros may be left out.

        Raises:
            ValueError: not 1 to 32 lower-case hex digits.
        """
        if not _HEX.fullmatch(text):
            raise ValueError("a fingerprint is at most 32 lower-case hex digits")
        return cls(count, int(text, 16))
