"""`brama crm conformance`: the suite as a command, for the makers of CRMs."""

import asyncio
import base64
import json
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console

from crm.commands import failed
from crm.errors import BadInput
from edge.core.barcodes import KEY_BYTES


def conformance(
    url: Annotated[str, typer.Argument(help="The CRM, as a gate would be given it.")],
    code: Annotated[str | None, typer.Argument(help="A fresh enrolment code; it is used up.")] = None,
    other: Annotated[str | None, typer.Option(metavar="CODE", help="A second code, for what devices hear.")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="CONFORMANCE_TOKEN", help="Of a device, in place of CODE.")
    ] = None,
    lookup_key: Annotated[
        str | None, typer.Option(envvar="CONFORMANCE_LOOKUP_KEY", help="With --token; base64.")
    ] = None,
    device_id: Annotated[str | None, typer.Option(metavar="ID", help="With --token.")] = None,
    known_code: Annotated[str | None, typer.Option(metavar="CODE", help="The code of a ticket on the list.")] = None,
    admit: Annotated[bool, typer.Option("--admit", help="Admit one ticket, and take it back.")] = False,
    ticket: Annotated[str | None, typer.Option(metavar="ID", help="With --admit; left out: any valid one.")] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask for a change while it waits.")] = False,
    wait: Annotated[int, typer.Option(min=1, max=60, help="Seconds to have a quiet feed held.")] = 3,
    strict: Annotated[bool, typer.Option("--strict", help="A MUST that was skipped fails, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the results as JSON.")] = False,
) -> None:
    """Check whether a CRM keeps the Gate API; exit status 1 where it does not.

    It records some 520 refused scans of codes that begin with BRAMA-CONFORMANCE-, and says so first. It admits nobody
    but with --admit.
    """
    # Loaded here, so that the central does not carry the suite.
    from crm.conformance import session, show
    from crm.conformance.checks import Check
    from crm.conformance.gate import Box
    from crm.conformance.run import keeps_it
    from crm.conformance.subject import Options

    try:
        key = None if lookup_key is None else _key(lookup_key)
    except BadInput as exc:
        raise failed(str(exc)) from exc
    box = Box(device_id, token, key) if token and device_id and key and not code else None
    if box is None and (token or not code):
        raise failed("CODE: give an enrolment code, or in its place --token, --lookup-key and --device-id")
    options = Options(
        code=code,
        other_code=other,
        known_code=known_code,
        admit=admit,
        ticket=ticket,
        ask=_ask if interactive else None,
        wait_s=wait,
    )
    typer.echo(session.announcement(url, options), err=True)
    with ExitStack() as shown:
        status = Console(stderr=True).status("")
        if not interactive:
            shown.enter_context(status)

        def begins(check: Check) -> None:
            status.update(check.name)

        try:
            results = asyncio.run(session.examine(url, options, box, begins=begins))
        except BadInput as exc:
            raise failed(str(exc)) from exc
    kept = keeps_it(results, strict=strict)
    if as_json:
        typer.echo(json.dumps(show.as_data(url, results, kept=kept), ensure_ascii=False, indent=2))
    else:
        Console().print(show.table_of(url, results, kept=kept))
    raise typer.Exit(0 if kept else 1)


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadInput("--lookup-key", "32 bytes in base64, as the enrolment answered it")
    return key


async def _ask(what: str) -> None:
    typer.secho(what, err=True, bold=True)
