"""Kinds of scans that a CRM may not expect, and has to take."""

import secrets

from crm.conformance.checks import must
from crm.conformance.rows import CODE_START
from crm.conformance.subject import Subject
from crm.conformance.topics.sending import taken

_SECTION = "Scans"


@must("scan-text", _SECTION, "Codes and notes of any script and length allowed are taken.")
async def text(subject: Subject) -> str | None:
    """Send letters of many scripts, decomposed and composed, line ends, and the longest texts."""
    journal = subject.need_journal()
    rows = [
        journal.unknown(code=f"{CODE_START}Café-КВИТОК-Ї-한-🎫", note="Ї і́ Cafe\u0301 שלום\n\t'; -- \" \\ 🎫"),
        journal.unknown(code=f"{CODE_START}{'K' * (4096 - len(CODE_START))}"),
        journal.row(lookup=journal.lookup("x"), reason="cancelled", note="й" * 1000),
    ]
    await taken(subject, rows, "keep texts as they come, in UTF-8: codes of 4,096 characters and notes of 1,000")
    return None


@must("scan-no-ticket", _SECTION, "A scan of a ticket, checkpoint or controller that the CRM does not know is taken.")
async def no_ticket(subject: Subject) -> str | None:
    """Send a refusal of things that were deleted, or never were."""
    journal, name = subject.need_journal(), f"conformance-{secrets.token_hex(4)}"
    row = journal.row(
        ticket_id=name, lookup=journal.lookup(name), checkpoint=name, controller=name, reason="already_used"
    )
    await taken(subject, [row], "store the ids as they come: what they name may have been deleted since")
    return None


@must("scan-nothing-read", _SECTION, "A scan with null for code, lookup, ticket and checkpoint is taken.")
async def nothing_read(subject: Subject) -> str | None:
    """Send a read that could not be read, by a clock that is not sure."""
    row = subject.need_journal().row(reason="unreadable", clock="unknown")
    await taken(subject, [row], "allow null wherever docs/gate-api.md does")
    return None


@must("scan-emergency", _SECTION, "Rows that tell of an emergency are taken like scans.")
async def emergency(subject: Subject) -> str | None:
    """Send the beginning and the end of one."""
    journal = subject.need_journal()
    rows = [journal.row(reason=reason) for reason in ("emergency_open", "emergency_over")]
    await taken(subject, rows, "store them: they stand in the same chain, and nobody was refused by them")
    return None


@must("scan-named-id", _SECTION, "A scan_id need not be a UUID: letters, digits and . _ : - are taken.")
async def named_id(subject: Subject) -> str | None:
    """Send an id as a client of the gate may name it."""
    row = subject.need_journal().unknown(scan_id=f"conformance:{secrets.token_hex(8)}_A.b-{'0' * 29}")
    await taken(subject, [row], "keep scan_id as text of up to 200 characters")
    return None


@must("scan-new-reason", "What may grow", "A scan with a reason that the CRM does not know is taken.")
async def new_reason(subject: Subject) -> str | None:
    """Send a word that no version has."""
    row = subject.need_journal().unknown(reason="reason_of_a_later_version")
    await taken(subject, [row], "keep reason as text of up to 40 characters")
    return None


@must("scan-new-fields", "What may grow", "Fields that the CRM does not know, in a scan or beside, are skipped.")
async def new_fields(subject: Subject) -> str | None:
    """Send fields that no version has."""
    row = subject.need_journal().unknown(field_of_a_later_version={"x": [1, None]})
    await taken(subject, [row], "skip fields that you do not know", field_of_a_later_version="x")
    return None


CHECKS = (text, no_ticket, nothing_read, emergency, named_id, new_reason, new_fields)
