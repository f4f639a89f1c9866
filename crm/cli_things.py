"""Commands for events, ticket types, checkpoints and controllers."""

from typing import Annotated, Any

import typer

from crm import service
from crm.central import Central
from crm.commands import DEFAULT_DB, Db, show, work
from crm.errors import BadInput
from crm.instants import read_instant, read_zone
from sync.instants import write_instant
from sync.wire import CheckpointLine, ControllerLine, EntryPolicyModel, EventLine, TicketTypeLine

event_app = typer.Typer(no_args_is_help=True, help="Events.")
ticket_type_app = typer.Typer(no_args_is_help=True, help="Ticket types.")
checkpoint_app = typer.Typer(no_args_is_help=True, help="Checkpoints.")
controller_app = typer.Typer(no_args_is_help=True, help="Controllers: the people at the gates.")

Id = Annotated[str | None, typer.Option("--id", help="Replaces the thing with this id; left out: a new one.")]
EventId = Annotated[str, typer.Option("--event", help="The event's id.")]
SomeEvent = Annotated[str | None, typer.Option("--event", help="Only this event's.")]
# Far above any venue, and small enough for any database.
MAX_NUMBER = 1_000_000


@event_app.command("add")
def add_event(
    name: Annotated[str, typer.Argument()],
    tz: Annotated[str, typer.Option(help="IANA zone, such as Europe/Kyiv.")],
    starts: Annotated[str, typer.Option(help="ISO 8601; without a zone it is local time.")],
    ends: Annotated[str, typer.Option(help="ISO 8601; without a zone it is local time.")],
    venue: Annotated[str | None, typer.Option()] = None,
    status: Annotated[str, typer.Option(help="draft, confirmed, completed or cancelled.")] = "confirmed",
    ticket_type: Annotated[list[str] | None, typer.Option(help="Its ticket types; left out: Standard.")] = None,
    checkpoint: Annotated[list[str] | None, typer.Option(help="Its checkpoints; left out: Main entrance.")] = None,
    bare: Annotated[bool, typer.Option("--bare", help="No ticket types or checkpoints of itself.")] = False,
    id_: Id = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Add an event with its ticket types (one entry each) and checkpoints; with --id of one there is, replace it."""

    async def job(central: Central) -> list[EventLine | TicketTypeLine | CheckpointLine]:
        zone = read_zone(tz)
        starts_at, ends_at = read_instant("starts", starts, zone), read_instant("ends", ends, zone)
        there = {each.id for each in await service.listing(central.db, "event")}
        event = await service.put_event(
            central.db, name=name, tz=tz, starts_at=starts_at, ends_at=ends_at, venue=venue, status=status, id=id_
        )
        types, points = ticket_type or [], checkpoint or []
        if not bare and event.id not in there:
            types, points = types or ["Standard"], points or ["Main entrance"]
        made: list[EventLine | TicketTypeLine | CheckpointLine] = [event]
        made += [await service.put_ticket_type(central.db, event=event.id, name=each) for each in types]
        made += [await service.put_checkpoint(central.db, event=event.id, name=each) for each in points]
        return made

    for each in work(db, job):
        typer.echo(f"{each.kind.replace('_', ' ')} {each.id}  {each.name}")


@event_app.command("status")
def event_status(
    event: Annotated[str, typer.Argument(help="The event's id.")],
    status: Annotated[str, typer.Argument(help="draft, confirmed, completed or cancelled.")],
    db: Db = DEFAULT_DB,
) -> None:
    """Change an event's status; only a confirmed one admits."""
    found = work(db, lambda central: service.set_event_status(central.db, event, status))
    typer.echo(f"{found.id} is {found.status.value}")


@event_app.command("list")
def list_events(db: Db = DEFAULT_DB) -> None:
    """List the events."""
    found: list[EventLine] = work(db, lambda central: service.listing(central.db, "event"))
    show(
        ("id", "name", "venue", "status", "starts", "ends", "zone"),
        [
            (
                each.id,
                each.name,
                each.venue,
                each.status,
                write_instant(each.starts_at),
                write_instant(each.ends_at),
                each.tz,
            )
            for each in found
        ],
    )


@ticket_type_app.command("add")
def add_ticket_type(
    name: Annotated[str, typer.Argument()],
    event: EventId,
    entries: Annotated[int, typer.Option(min=0, max=MAX_NUMBER, help="How many entries; 0 with --unlimited.")] = 1,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Any number of entries.")] = False,
    per: Annotated[str, typer.Option(help="event or day.")] = "event",
    reentry: Annotated[str, typer.Option(help="never, after_exit or always.")] = "never",
    cooldown_s: Annotated[int, typer.Option(min=0, max=31_536_000, help="Seconds between two entries.")] = 0,
    id_: Id = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Add a ticket type, or replace one."""
    policy = {"entries": None if unlimited else entries, "per": per, "reentry": reentry, "cooldown_s": cooldown_s}
    made = work(
        db,
        lambda central: service.put_ticket_type(central.db, event=event, name=name, entry_policy=policy, id=id_),
    )
    typer.echo(f"ticket type {made.id}  {made.name}")


@ticket_type_app.command("list")
def list_ticket_types(event: SomeEvent = None, db: Db = DEFAULT_DB) -> None:
    """List the ticket types."""
    found: list[TicketTypeLine] = work(db, lambda central: service.listing(central.db, "ticket_type", event))
    show(
        ("id", "event", "name", "entries", "per", "reentry", "cooldown, s"),
        [
            (
                each.id,
                each.event,
                each.name,
                "any" if policy.entries is None else policy.entries,
                policy.per.value,
                policy.reentry.value,
                policy.cooldown_s,
            )
            for each in found
            for policy in (each.entry_policy,)
        ],
    )


def _policy(policy: EntryPolicyModel) -> tuple[object, ...]:
    entries = "any" if policy.entries is None else policy.entries
    return entries, policy.per.value, policy.reentry.value, policy.cooldown_s


@checkpoint_app.command("add")
def add_checkpoint(
    name: Annotated[str, typer.Argument()],
    event: EventId,
    zone: Annotated[str | None, typer.Option(help="The zone that it leads into.")] = None,
    direction: Annotated[str, typer.Option(help="entry, exit or both.")] = "both",
    ticket_type: Annotated[list[str] | None, typer.Option(help="An admitted type's id; left out: all.")] = None,
    hours: Annotated[list[str] | None, typer.Option(help="OPENS/CLOSES, again for more; left out: always.")] = None,
    never: Annotated[bool, typer.Option("--never-open", help="No hours at all.")] = False,
    controller: Annotated[list[str] | None, typer.Option(help="A controller's id; left out: any.")] = None,
    requires_controller: Annotated[bool, typer.Option("--requires-controller", help="One must be on shift.")] = False,
    capacity: Annotated[int | None, typer.Option(min=0, max=MAX_NUMBER, help="How many fit into the zone.")] = None,
    id_: Id = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Add a checkpoint, or replace one."""

    async def job(central: Central) -> CheckpointLine:
        return await service.put_checkpoint(
            central.db,
            event=event,
            name=name,
            id=id_,
            zone=zone,
            direction=direction,
            ticket_types=ticket_type or None,
            hours=[] if never else await _hours(central, event, hours),
            controllers=controller or None,
            requires_controller=requires_controller,
            capacity=capacity,
        )

    made = work(db, job)
    typer.echo(f"checkpoint {made.id}  {made.name}")


async def _hours(central: Central, event: str, texts: list[str] | None) -> list[dict[str, Any]] | None:
    if not texts:
        return None
    zone = next((read_zone(each.tz) for each in await service.listing(central.db, "event") if each.id == event), None)
    hours = []
    for text in texts:
        opens, slash, closes = text.partition("/")
        if not slash:
            raise BadInput("hours", f"{text[:80]!r} is not OPENS/CLOSES, such as 2026-05-01T18:00/2026-05-01T23:00")
        if zone is not None:
            opens_at, closes_at = read_instant("hours", opens, zone), read_instant("hours", closes, zone)
            hours.append({"opens_at": opens_at, "closes_at": closes_at})
    return hours


@checkpoint_app.command("list")
def list_checkpoints(event: SomeEvent = None, db: Db = DEFAULT_DB) -> None:
    """List the checkpoints."""
    found: list[CheckpointLine] = work(db, lambda central: service.listing(central.db, "checkpoint", event))
    show(
        ("id", "event", "name", "zone", "direction", "ticket types", "hours", "capacity"),
        [
            (
                each.id,
                each.event,
                each.name,
                each.zone,
                each.direction.value,
                _names(each.ticket_types),
                _opening(each),
                each.capacity,
            )
            for each in found
        ],
    )


def _names(ids: list[str] | None) -> str:
    return "all" if ids is None else ", ".join(ids)


def _opening(point: CheckpointLine) -> str:
    if point.hours is None:
        return "always"
    return "\n".join(f"{write_instant(e.opens_at)}/{write_instant(e.closes_at)}" for e in point.hours) or "never"


@checkpoint_app.command("remove")
def remove_checkpoint(checkpoint: Annotated[str, typer.Argument()], db: Db = DEFAULT_DB) -> None:
    """Take a checkpoint away, with the assignments to it."""
    work(db, lambda central: service.remove_checkpoint(central.db, checkpoint))
    typer.echo(f"{checkpoint} is gone")


@controller_app.command("add")
def add_controller(
    name: Annotated[str, typer.Argument()],
    badge: Annotated[str | None, typer.Option(help="The code on the badge; only its lookup is kept.")] = None,
    pin: Annotated[bool, typer.Option("--pin", help="Ask for a PIN of 4 to 12 digits.")] = False,
    supervisor: Annotated[bool, typer.Option("--supervisor", help="May admit after a refusal.")] = False,
    id_: Id = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Add a controller, or replace one; a PIN is asked for, so that it stays out of the shell's history."""
    secret = typer.prompt("PIN", hide_input=True, confirmation_prompt=True) if pin else None
    made: ControllerLine = work(
        db,
        lambda central: service.put_controller(
            central.db, name=name, badge=badge, pin=secret, supervisor=supervisor, id=id_
        ),
    )
    typer.echo(f"controller {made.id}  {made.name}")


@controller_app.command("list")
def list_controllers(db: Db = DEFAULT_DB) -> None:
    """List the controllers."""
    found: list[ControllerLine] = work(db, lambda central: service.listing(central.db, "controller"))
    yes = {True: "yes", False: ""}
    rows = [(e.id, e.name, yes[e.badge is not None], yes[e.pin is not None], yes[e.supervisor]) for e in found]
    show(("id", "name", "badge", "PIN", "supervisor"), rows)


@controller_app.command("remove")
def remove_controller(controller: Annotated[str, typer.Argument()], db: Db = DEFAULT_DB) -> None:
    """Take a controller away."""
    work(db, lambda central: service.remove_controller(central.db, controller))
    typer.echo(f"{controller} is gone")
