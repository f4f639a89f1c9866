"""What commands show of a gate's files, read without touching them: the gate may run meanwhile."""

import contextlib
import csv
import gzip
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from config.settings import BadSettings, Settings
from edge.clock import GateClock
from edge.core.admission import decide
from edge.core.messages import Message, explain
from edge.core.model import Direction
from edge.store.credentials import BadCredentials, load_credentials
from edge.store.database import connect_read_only
from edge.store.keeping import Verification, verify_chain
from edge.store.records import SELECT_SETTLED, scan_of
from edge.store.scan_table import COLUMNS, cells_of
from edge.store.tx import Identity, Offer, Tx, verdict_word
from edge.store.whitelist_reader import WhitelistReader


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database of the data folder to read it as it is now, whatever the gate does meanwhile.

    Raises:
        BadSettings: it is not there, cannot be read, or turns out damaged; the message names the mend.
    """
    try:
        connection = connect_read_only(path)
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM meta LIMIT 1")
    except sqlite3.Error as exc:
        why = exc if path.exists() else "no such file"
        raise BadSettings(f"{path}: {why}; start the gate once, or name its settings with -c") from exc
    with contextlib.closing(connection):
        try:
            yield connection
        except sqlite3.DatabaseError as exc:
            raise BadSettings(f"{path.parent}: {exc}; restart the gate: it sets a damaged file aside") from exc


def check_code(settings: Settings, code: str, lane_id: str | None) -> tuple[str, str, Message]:
    """Decide on a code as a lane would now; return verdict, reason and message. Nothing is recorded.

    Raises:
        BadSettings: no such lane, or no files yet.
    """
    lane = next((each for each in settings.lane if lane_id in (None, each.id)), None)
    if lane is None:
        raise BadSettings(f"--lane: no lane {lane_id}; use one of {', '.join(each.id for each in settings.lane)}")
    folder, clock = settings.device.data_path, GateClock()
    try:
        credentials = load_credentials(folder)
    except BadCredentials as exc:
        raise BadSettings(str(exc)) from exc
    identity = Identity(credentials.device_id, credentials.lookup_key) if credentials else None
    with opened(folder / "journal.db") as journal, opened(folder / "whitelist.db") as whitelist:
        tx = Tx(journal, WhitelistReader(folder, clock.now, lambda _: None, whitelist), identity)
        way = Direction.EXIT if lane.direction == "exit" else Direction.ENTRY
        offer = Offer(code, lane.id, way, clock.now(), clock.trust, "", checkpoint=lane.checkpoint)
        facts = tx.gather(offer).facts
    now = clock.now()
    verdict = decide(facts, now)
    zone = ZoneInfo(facts.event.tz) if facts.event else UTC
    message = explain(verdict.reason, verdict.detail, settings.device.language, zone, now)
    return verdict_word(verdict), verdict.reason.value, message


def export_csv(folder: Path, out: TextIO) -> int:
    """Write every scan, oldest first, as CSV (RFC 4180) with a heading; return how many.

    A cell that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    count = 0
    with opened(folder / "journal.db") as journal:
        for row in _all_rows(folder, journal):
            writer.writerow(cells_of(row))
            count += 1
    return count


def _all_rows(folder: Path, journal: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    for (name,) in journal.execute("SELECT file FROM archive ORDER BY first_seq").fetchall():
        with gzip.open(folder / "archive" / name, "rt", encoding="utf-8") as lines:
            yield from map(json.loads, lines)
    for row in journal.execute(f"{SELECT_SETTLED} ORDER BY seq"):
        yield scan_of(row).wire()


def verify_journal(folder: Path) -> Verification:
    """Walk the chain of the journal in a data folder."""
    with opened(folder / "journal.db") as journal:
        return verify_chain(journal)


def print_status(body: dict[str, Any]) -> None:
    """Show a status for people."""
    from rich.console import Console
    from rich.table import Table

    console, data, crm = Console(), body["data"], body["crm"]
    console.print(
        f"[bold]{body['device']['name']}[/] · Brama {body['version']} · {body['device']['id'] or 'not enrolled'}"
    )
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("clock", f"{body['clock']['now']} ({body['clock']['trust']})")
    table.add_row("tickets", f"{data['tickets']}, fingerprint {data['fingerprint'][:8]}, {_age(data['age_s'])}")
    table.add_row("crm", _crm(crm))
    if crm["note"] and crm["url"]:
        table.add_row("", crm["note"])
    if crm["progress"]:
        table.add_row("new list", _progress(crm["progress"]))
    backlog = body["backlog"]
    table.add_row("to send", f"{backlog['unsent']} scans, {backlog['parked']} parked; last seq {backlog['head_seq']}")
    for lane in body["lanes"]:
        door = "open" if lane["open"] else "closed"
        people = ", ".join(each["name"] for each in lane["controllers"]) or "nobody on shift"
        table.add_row(f"lane {lane['id']}", f"{lane['checkpoint_name'] or 'no checkpoint'}: {door}, {people}")
    for reader in body["readers"]:
        table.add_row(f"reader {reader['driver']}", f"{reader['device']}: {reader['error'] or reader['state']}")
    console.print(table)
    for conflict in body["conflicts"]:
        console.print(f"[bold red]conflict[/] ticket {conflict['ticket_id']} was admitted at two devices")
    for fault in body["faults"]:
        console.print(f"[bold red]fault[/] {fault}")


def _crm(found: dict[str, Any]) -> str:
    """Say where the CRM is; or, where none is called, who pushes here, which is what its note says."""
    if found["url"] is None:
        way = found["note"] or "no changes were pushed here since the start"
        state = "" if found["state"] == "none" else f": {found['state']}"
    else:
        way, state = found["url"], f": {found['state']}"
    return way + state + (f", {found['error']}" if found["error"] else "")


def _progress(found: dict[str, Any]) -> str:
    of = f" of {found['total']}" if found["total"] is not None else ""
    left = f", {found['left_s']:.0f} s left" if found["left_s"] is not None else ""
    return f"{found['tickets']}{of} tickets, {found['per_s']:.0f} a second{left}"


def _age(seconds: int | None) -> str:
    if seconds is None:
        return "never pulled"
    return f"confirmed {seconds} s ago"
