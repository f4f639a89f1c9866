"""`brama doctor`: looks for faults, each with what mends it. Reads only; the gate may run meanwhile."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from config.settings import BadSettings, FileCrmSettings, Settings
from edge.clock import AGREE_S, kernel_synchronised, wall_clock
from edge.enrolling import crm_url
from edge.examine_hardware import examine_hardware
from edge.finding import Finding
from edge.reports import verify_journal
from edge.store.credentials import BadCredentials, Credentials, load_credentials, make_credentials
from edge.store.database import connect_read_only
from edge.without_crm import file_crm, place_of
from sync.crm_brama import BramaCrm
from sync.errors import LinkDown, TokenRefused

LEAST_FREE_MB = 200


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything that a gate needs."""
    findings = [*_folder(settings.device.data_path), *_databases(settings.device.data_path)]
    try:
        credentials = load_credentials(settings.device.data_path)
    except BadCredentials as exc:
        credentials = None
        findings.append(Finding("fault", str(exc)))
    running = await _health_of_running(settings)
    findings += await asyncio.to_thread(lambda: list(examine_hardware(settings, running)))
    return findings + await _crm(settings, credentials, running)


def _folder(path: Path) -> Iterator[Finding]:
    if not path.is_dir():
        yield Finding("fault", f"data folder {path}: not there", "start the gate once, or mend device.data_path")
        return
    if not os.access(path, os.W_OK):
        yield Finding("fault", f"data folder {path}: not writable by you", "run this as the gate's user")
    free_mb = shutil.disk_usage(path).free // 1_000_000
    if free_mb < LEAST_FREE_MB:
        yield Finding("fault", f"disk: {free_mb} MB free", "free some: a gate that cannot record admits nobody")
    else:
        yield Finding("ok", f"data folder {path}: {free_mb} MB free")
    for name in ("credentials.json", "tokens.json"):
        with contextlib.suppress(FileNotFoundError):
            mode = (path / name).stat().st_mode & 0o777
            if mode & 0o077:
                yield Finding("fault", f"{name}: others may read it ({mode:o})", f"chmod 600 {path / name}")
    for damaged in sorted(path.glob("*.damaged-*")):
        if not damaged.name.endswith(("-wal", "-shm")):
            yield Finding("note", f"{damaged.name}: set aside as damaged", "keep it for the auditor, then delete it")


def _databases(path: Path) -> Iterator[Finding]:
    try:
        found = verify_journal(path)
        for problem in found.problems:
            yield Finding("fault", f"journal: {problem}", "copy the data folder for the auditor before anything else")
        if not found.problems:
            yield Finding("ok", f"journal: {found.rows} scans, the chain is whole")
        with contextlib.closing(connect_read_only(path / "journal.db")) as journal:
            for first, last in journal.execute("SELECT first_seq, last_seq FROM lost"):
                yield Finding("note", f"journal: seq {first} to {last} lost to damage")
            (parked,) = journal.execute("SELECT count(*) FROM parked").fetchone()
            if parked:
                yield Finding(
                    "fault",
                    f"{parked} scans refused by the CRM are parked",
                    "brama sync parked shows why; retry or drop them",
                )
        with contextlib.closing(connect_read_only(path / "whitelist.db")) as whitelist:
            meta = dict(whitelist.execute("SELECT key, value FROM meta"))
            if "cursor" in meta:
                yield Finding("ok", f"ticket list: {meta.get('count', 0)} tickets")
            else:
                yield Finding("fault", "ticket list: never pulled", "check the CRM below")
    except BadSettings as exc:
        yield Finding("fault", str(exc))
    except sqlite3.Error as exc:
        yield Finding("fault", f"databases: {exc}", "restart the gate: it sets a damaged file aside and goes on")


async def _crm(settings: Settings, credentials: Credentials | None, running: dict[str, Any]) -> list[Finding]:
    synced = kernel_synchronised()
    clock = Finding("ok" if synced else "note", f"clock: {'kept' if synced else 'not kept'} by NTP")
    if isinstance(settings.crm, FileCrmSettings):
        return [clock, *await _files(settings, settings.crm, credentials)]
    if (credentials is None or credentials.own) and settings.crm is not None:
        mend = f"scan an enrolment code of the CRM, or: brama enrol {settings.crm.url} CODE"
        return [clock, Finding("fault", "crm: this box is not enrolled", mend)]
    url = crm_url(settings, credentials)
    if url is None or credentials is None or credentials.own:
        return [clock, Finding("note", "crm: none in the settings", "push mode, or scan an enrolment code of a CRM")]
    connector = BramaCrm(url, credentials.token)
    try:
        answer, round_trip_s = await connector.heartbeat(running)
    except TokenRefused as exc:
        return [clock, Finding("fault", f"crm: {exc}")]
    except LinkDown as exc:
        return [clock, Finding("fault", f"crm: {exc}", "the gate scans on meanwhile")]
    finally:
        await connector.close()
    skew_s = (answer.time - wall_clock()).total_seconds() + round_trip_s / 2
    findings = [clock, Finding("ok", f"crm: {url} answers in {round_trip_s * 1000:.0f} ms")]
    if abs(skew_s) > AGREE_S:
        findings.append(Finding("fault", f"clock: {skew_s:.0f} s from the CRM's", "timedatectl set-ntp true"))
    return findings


async def _files(settings: Settings, crm: FileCrmSettings, credentials: Credentials | None) -> list[Finding]:
    """Read the barcode files as the gate would, and look whether its scans can be written out."""
    notes: list[str | None] = []
    with tempfile.TemporaryDirectory(prefix="brama-") as folder:
        identity = credentials or make_credentials("")
        connector = file_crm(settings, crm, identity, Path(folder), wall_clock, notes.append)
        try:
            report = await connector.look_over()
            findings = [Finding("ok", f"crm: {place_of(crm)}: tickets {report.tickets}, files {report.files}")]
        except LinkDown as exc:
            findings = [Finding("fault", f"crm: {exc}", "the gate scans on with the list that it has")]
        finally:
            await connector.close()
    findings += [Finding("note", f"crm: {note}") for note in notes if note]
    scans_path = settings.scans_path
    if scans_path is not None and not os.access(scans_path if scans_path.exists() else scans_path.parent, os.W_OK):
        findings.append(Finding("fault", f"crm.scans_path: {scans_path}: not writable by you", "give it to the gate"))
    return findings


async def _health_of_running(settings: Settings) -> dict[str, Any]:
    """Return what the gate itself would tell the CRM, so that looking does not change what the CRM shows."""
    host = "127.0.0.1" if settings.web.host in {"0.0.0.0", "::"} else settings.web.host  # noqa: S104 (not listening)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            answer = await client.get(f"http://{host}:{settings.web.port}/api/v1/status")
            health: dict[str, Any] = answer.raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return {"running": False}
    return health


def print_findings(findings: list[Finding]) -> bool:
    """Show the findings; return whether there is no fault."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    marks = {"ok": "[green]ok   [/]", "note": "[yellow]note [/]", "fault": "[bold red]FAULT[/]"}
    for each in findings:
        console.print(marks[each.level], end=" ")
        console.print(each.what + (f" -> {each.mend}" if each.mend else ""), markup=False)
    return not any(each.level == "fault" for each in findings)
