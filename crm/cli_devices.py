"""Commands for devices, their enrolment and where they work."""

import io
from datetime import timedelta
from typing import Annotated

import segno
import typer

from crm import enrolment, reports, service
from crm.commands import DEFAULT_DB, Db, show, work

device_app = typer.Typer(no_args_is_help=True, help="Devices: the boxes at the gates.")


@device_app.command("list")
def list_devices(db: Db = DEFAULT_DB) -> None:
    """List the devices."""
    found = work(db, lambda central: reports.list_devices(central.db))
    names = ("id", "name", "last_seen", "backlog", "last_seq", "last_fault", "revoked_at")
    show(names, [[each[name] for name in names] for each in found])


@device_app.command("code")
def enrolment_code(
    url: Annotated[str, typer.Option(help="Where boxes find this central.")] = "http://127.0.0.1:8000",
    name: Annotated[str | None, typer.Option(help="What the box will be called.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Where all its lanes will work.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=720, help="How long the code is good.")] = 24,
    db: Db = DEFAULT_DB,
) -> None:
    """Make a code that enrols one box: scan the QR with it, or type `brama enrol URL CODE`. It is shown once."""
    made = work(
        db,
        lambda central: enrolment.make_enrolment_code(
            central.db, url, name=name, checkpoint=checkpoint, lifetime=timedelta(hours=hours)
        ),
    )
    picture = io.StringIO()
    segno.make(made.model_dump_json(), error="m", micro=False).terminal(picture, compact=True)
    typer.echo(picture.getvalue())
    typer.echo(f"URL   {made.url}")
    typer.echo(f"Code  {made.code}")
    typer.echo(f"      brama enrol {made.url} {made.code}")
    if "127.0.0.1" in made.url or "localhost" in made.url:
        typer.echo("This URL is found on this machine only; give --url for a box on the network.", err=True)


@device_app.command("revoke")
def revoke(device: Annotated[str, typer.Argument(help="The device's id.")], db: Db = DEFAULT_DB) -> None:
    """Take a device's right to call away for good; its scans stay."""
    work(db, lambda central: enrolment.revoke_device(central.db, device))
    typer.echo(f"{device} is revoked")


def assign(
    device: Annotated[str, typer.Argument(help="The device's id.")],
    checkpoint: Annotated[str | None, typer.Argument(help="The checkpoint's id.")] = None,
    lane: Annotated[str | None, typer.Option(help="One lane; left out: all of them.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the assignment away.")] = False,
    db: Db = DEFAULT_DB,
) -> None:
    """Say at which checkpoint a device works."""
    if remove:
        work(db, lambda central: service.unassign(central.db, device, lane))
        typer.echo(f"{device} works nowhere by assignment")
        return
    made = work(db, lambda central: service.assign(central.db, device, checkpoint or "", lane))
    typer.echo(f"{made.device} {made.lane or '(all lanes)'} works at {made.checkpoint}")
