"""`brama sync`: the running gate's way to the CRM."""

from typing import Annotated
from urllib.parse import quote

import typer

from config.settings import DEFAULT_PATH
from edge.commands import ConfigPath, ask, settings_of

sync_app = typer.Typer(help="The running gate's way to the CRM.", no_args_is_help=True)
ScanId = Annotated[str, typer.Argument(help="The scan's id, as brama sync parked shows it.")]


@sync_app.command("now")
def sync_now(config: ConfigPath = DEFAULT_PATH) -> None:
    """Pull from the CRM at once."""
    ask(settings_of(config), "POST", "/api/v1/sync/now")
    typer.echo("Pulling now; see brama status.")


@sync_app.command("accept")
def sync_accept(config: ConfigPath = DEFAULT_PATH) -> None:
    """Let a ticket list take its place that was held back for being much smaller."""
    ask(settings_of(config), "POST", "/api/v1/sync/accept")
    typer.echo("Accepted; see brama status.")


@sync_app.command("parked")
def sync_parked(config: ConfigPath = DEFAULT_PATH) -> None:
    """Show the scans that the CRM would not take, and why."""
    found = ask(settings_of(config), "GET", "/api/v1/sync/parked")["parked"]
    if not found:
        typer.echo("No scan is parked.")
    from edge.visible import visible

    for each in found:
        scan = each["scan"]
        again = "; to be sent again" if each["retry"] else ""
        typer.echo(f"{each['scan_id']}  seq {each['seq']}, {scan.get('at')}, lane {scan.get('lane')}{again}")
        what = scan.get("ticket_id") or scan.get("code") or "no ticket"
        typer.echo(f"    {scan.get('verdict')} ({scan.get('reason')}): {visible(str(what))}")
        typer.echo(f"    {visible(each['code'])}: {visible(each['message'])}")
    if found:
        typer.echo("\nbrama sync retry [SCAN_ID] sends them again; brama sync drop SCAN_ID --reason WHY gives one up.")


@sync_app.command("retry")
def sync_retry(
    scan_id: Annotated[str | None, typer.Argument(help="The scan's id; left out: all that are parked.")] = None,
    config: ConfigPath = DEFAULT_PATH,
) -> None:
    """Send parked scans again, once the CRM has been mended."""
    path = f"/api/v1/sync/parked/{quote(scan_id, safe='')}/retry" if scan_id else "/api/v1/sync/parked/retry"
    count = ask(settings_of(config), "POST", path)["retried"]
    typer.echo(f"{count} to be sent again; see brama sync parked.")


@sync_app.command("drop")
def sync_drop(
    scan_id: ScanId,
    reason: Annotated[str, typer.Option(help="Why the CRM is never to have it; kept in the journal.")],
    config: ConfigPath = DEFAULT_PATH,
) -> None:
    """Give a parked scan up for good."""
    ask(settings_of(config), "POST", f"/api/v1/sync/parked/{quote(scan_id, safe='')}/drop", {"reason": reason})
    typer.echo(f"{scan_id} is dropped; the journal keeps its row.")
