"""`brama crm`: the central's commands."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from aiohttp import web
from sqlalchemy.exc import DBAPIError

from crm import importer, reports, service
from crm.central import Central
from crm.cli_devices import assign, device_app
from crm.cli_things import checkpoint_app, controller_app, event_app, ticket_type_app
from crm.commands import DEFAULT_DB, Db, failed, show, work
from crm.conformance.command import conformance
from crm.database import Database
from crm.errors import BadInput
from crm.importer import Problem

_log = logging.getLogger(__name__)
KEEP_CHANGES = timedelta(days=30)
"""How long the feed reaches back; a gate away for longer gets everything anew."""
_PRUNE_EVERY_S = 3600
_SHUTDOWN_S = 5

app = typer.Typer(no_args_is_help=True, help="The reference central: events, tickets, devices and their scans.")
app.add_typer(event_app, name="event")
app.add_typer(ticket_type_app, name="ticket-type")
app.add_typer(checkpoint_app, name="checkpoint")
app.add_typer(controller_app, name="controller")
app.add_typer(device_app, name="device")
app.command()(assign)
app.command()(conformance)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for the network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    db: Db = DEFAULT_DB,
) -> None:
    """Serve the Gate API, and the organiser's page to this machine."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    work(db, lambda central: _serve(central, host, port))


async def _serve(central: Central, host: str, port: int) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with serving(central, host, port) as address, asyncio.TaskGroup() as group:
        typer.echo(f"Brama central at {address}")
        sys.stdout.flush()
        janitor = group.create_task(_prune_forever(central.db), name="janitor")
        await stop.wait()
        janitor.cancel()


@contextlib.asynccontextmanager
async def serving(central: Central, host: str, port: int) -> AsyncGenerator[str, None]:
    """Serve while open; yield the address once it really listens.

    Raises:
        BadInput: the address cannot be listened on.
    """
    runner = web.AppRunner(central.app(), shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as exc:
            raise BadInput("port", f"cannot listen on {host}:{port} ({exc.strerror}); choose another") from exc
        bound_host, bound_port = runner.addresses[0][:2]
        yield f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}"
    finally:
        await runner.cleanup()


async def _prune_forever(db: Database) -> None:
    while True:
        try:
            await service.prune_changes(db, KEEP_CHANGES)
        except DBAPIError:
            _log.exception("could not prune the feed; trying again in an hour")
        await asyncio.sleep(_PRUNE_EVERY_S)


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="CSV: code, and type, id, state, valid_from, valid_until, holder, seat.")
    ],
    event: Annotated[str, typer.Option(help="The event's id.")],
    source: Annotated[str | None, typer.Option(help="The seller's name.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Import the good rows of a file with bad ones.")] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Import a seller's barcodes; the same file again changes nothing."""

    def report(problem: Problem) -> None:
        typer.echo(str(problem), err=True)

    result = work(
        db,
        lambda central: importer.import_file(central.db, event, file, source=source, skip_bad=skip_bad, report=report),
    )
    typer.echo(
        f"{result.read} rows: {result.added} new, {result.changed} changed, {result.unchanged} as before, "
        f"{result.bad} bad"
    )


@app.command()
def ticket(
    ticket_id: Annotated[str, typer.Argument(help="The ticket's id.")],
    state: Annotated[str, typer.Argument(help="valid, cancelled, blocked, revoked or unpaid.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Change a ticket's state, at every event that it is for."""
    changed = work(db, lambda central: service.set_ticket_state(central.db, ticket_id, state))
    typer.echo(f"{ticket_id} is {state}" if changed else f"{ticket_id} was {state} already")


@app.command()
def report(
    event: Annotated[str | None, typer.Option(help="One event's id; left out: all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the CSV here; left out: to the terminal.")] = None,
    figures: Annotated[bool, typer.Option("--figures", help="Live figures in place of the scans.")] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Write all scans as CSV, or show the live figures."""
    if figures:
        found = work(db, lambda central: reports.figures(central.db, event))
        names = ("name", "event", "entries", "exits", "inside", "refused", "capacity")
        show(("checkpoint", *names[1:]), [[point[name] for name in names] for point in found["checkpoints"]])
        if standing := [each for each in found["conflicts"] if not each["withdrawn_at"]]:
            raise failed(f"{len(standing)} conflicts: tickets admitted too often, see the page or /api/report")
        return
    try:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(out.open("w", encoding="utf-8", newline="")) if out else sys.stdout

            async def write(central: Central) -> None:
                parts: AsyncIterator[str] = reports.scans_csv(central.db, event)
                async for part in parts:
                    file.write(part)

            work(db, write)
    except OSError as exc:
        raise failed(f"out: cannot write {out or 'the output'}: {exc.strerror}") from exc
