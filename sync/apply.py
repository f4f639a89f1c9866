"""What each line of the change feed does to a whitelist: wire models in, the store's calls out."""

from typing import assert_never

from edge.core.model import (
    Assignment,
    Checkpoint,
    Controller,
    EntryPolicy,
    Event,
    Interval,
    Policies,
    TicketType,
)
from edge.store.whitelist_writer import WhitelistSession
from sync.wire import (
    AdmissionsLine,
    AssignmentLine,
    CheckpointLine,
    ControllerLine,
    DeleteLine,
    EventLine,
    TicketsLine,
    TicketTypeLine,
    assignment_id,
)

Change = (
    EventLine
    | TicketTypeLine
    | CheckpointLine
    | ControllerLine
    | AssignmentLine
    | TicketsLine
    | AdmissionsLine
    | DeleteLine
)


async def apply_change(session: WhitelistSession, line: Change) -> None:
    """Apply one line; visible once the session commits the cursor that follows it."""
    match line:
        case TicketsLine():
            await session.put_tickets(line.event, line.rows)
        case AdmissionsLine():
            await session.put_admissions(line.rows)
        case DeleteLine(of="tickets"):
            await session.delete_tickets(line.ids)
        case DeleteLine(of="admissions"):
            await session.delete_admissions(line.ids)
        case DeleteLine():
            await session.delete_entities(line.of, line.ids)
        case EventLine():
            await session.put_entity("event", line.id, _event(line))
        case TicketTypeLine():
            policy = line.entry_policy
            value = TicketType(
                line.id,
                line.event,
                line.name,
                EntryPolicy(policy.entries, policy.per, policy.reentry, policy.cooldown_s),
            )
            await session.put_entity("ticket_type", line.id, value)
        case CheckpointLine():
            await session.put_entity("checkpoint", line.id, _checkpoint(line))
        case ControllerLine():
            person = Controller(line.id, line.name, line.badge, line.pin, line.supervisor)
            await session.put_entity("controller", line.id, person)
        case AssignmentLine():
            place = Assignment(line.device, line.lane, line.checkpoint)
            await session.put_entity("assignment", assignment_id(line.device, line.lane), place)
        case _:
            assert_never(line)


def _event(line: EventLine) -> Event:
    return Event(line.id, line.name, line.venue or "", line.tz, line.status, line.starts_at, line.ends_at)


def _checkpoint(line: CheckpointLine) -> Checkpoint:
    policies = line.policies
    return Checkpoint(
        id=line.id,
        event=line.event,
        name=line.name,
        zone=line.zone,
        direction=line.direction,
        ticket_types=tuple(line.ticket_types) if line.ticket_types is not None else None,
        hours=tuple(Interval(each.opens_at, each.closes_at) for each in line.hours) if line.hours is not None else None,
        controllers=tuple(line.controllers) if line.controllers is not None else None,
        requires_controller=line.requires_controller,
        capacity=line.capacity,
        policies=Policies(policies.stale_after_s, policies.on_stale, policies.on_clock) if policies else Policies(),
    )
