"""What a CRM can get wrong in its feed, and in the ranges of its list."""

import gzip
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.crm.conformance.faulty import (
    Answered,
    Asked,
    Case,
    Fault,
    Line,
    answering,
    asking,
    in_feed,
    line_bytes,
    packing,
    refused,
)

FIRST = {"kind": "event", "id": "e-1", "name": "x", "tz": "Europe/Kyiv", "status": "confirmed"}
EVENT = FIRST | {"starts_at": "2026-05-01T18:00:00Z", "ends_at": "2026-05-01T23:00:00Z"}


def at_cursors(**changed: Any) -> Any:
    def change(answered: Answered) -> None:
        for line in answered.kind("cursor"):
            line |= {name: value(line[name]) if callable(value) else value for name, value in changed.items()}

    return change


def at_event(**changed: Any) -> Any:
    return lambda answered: next(answered.kind("event")).update(changed)


def with_line(at: int, line: Line) -> Any:
    return lambda answered: answered.lines.insert(len(answered.lines) if at < 0 else at, line)


def without(kind: str) -> Any:
    def change(answered: Answered) -> None:
        answered.lines = [line for line in answered.lines if line["kind"] != kind]

    return change


def not_ready(answered: Answered) -> None:
    answered.__dict__ |= vars(refused(503, "not_ready"))


def event_again(answered: Answered) -> None:
    answered.lines.append(next(answered.kind("event")))


def last_says_more(answered: Answered) -> None:
    answered.lines[-1]["more"] = True


def long_line(answered: Answered) -> None:
    rows = next(answered.kind("tickets"))["rows"]
    rows *= 1001 // len(rows) + 1


def one_lookup_two_ids(answered: Answered) -> None:
    rows = next(answered.kind("tickets"))["rows"]
    rows.insert(0, [rows[0][0], "T-other", *rows[0][2:]])


def typed(type_: str) -> Any:
    def change(answered: Answered) -> None:
        answered.type = type_

    return change


def no_line_feed(asked: Asked, answered: Answered) -> None:
    if asked.is_snapshot and "Content-Encoding" not in answered.headers:
        answered.raw = answered.raw[:-1]


def always_packed(asked: Asked, answered: Answered) -> None:
    if asked.is_snapshot and "Content-Encoding" not in answered.headers:
        answered.raw, answered.headers["Content-Encoding"] = gzip.compress(answered.raw), "gzip"


def packed_without_label(_asked: Asked, answered: Answered) -> None:
    answered.headers.pop("Content-Encoding", None)


def label_without_packing(_asked: Asked, answered: Answered) -> None:
    if "Content-Encoding" in answered.headers:
        answered.raw = gzip.decompress(answered.raw)


def packing_without_end(_asked: Asked, answered: Answered) -> None:
    if "Content-Encoding" in answered.headers:
        answered.raw = answered.raw[:-8]


def packed_in_parts(_asked: Asked, answered: Answered) -> None:
    if "Content-Encoding" in answered.headers:
        plain = gzip.decompress(answered.raw)
        answered.raw = gzip.compress(plain[:100]) + gzip.compress(plain[100:])


def never_packed(_asked: Asked, answered: Answered) -> None:
    if answered.headers.pop("Content-Encoding", None):
        answered.raw = b"".join(line_bytes(line) for line in answered.lines)


@dataclass
class Knowing(Fault):
    """Knows the cursors that were given, each with its `more`."""

    given: dict[str, bool] = field(default_factory=dict)

    def answer(self, asked: Asked, answered: Answered) -> None:
        self.given |= {line["cursor"]: line["more"] for line in answered.kind("cursor")}

    def is_known(self, asked: Asked) -> bool:
        return asked.is_since and asked.query["since"] in self.given

    def is_of_a_part(self, asked: Asked) -> bool:
        return self.is_known(asked) and self.given[asked.query["since"]]


class SinceIgnored(Knowing):
    """Sends everything to everybody."""

    def ask(self, asked: Asked) -> None:
        if self.is_known(asked):
            del asked.query["since"]


class AnyCursorTaken(Knowing):
    """Takes a cursor that it does not know for none."""

    def ask(self, asked: Asked) -> None:
        if asked.is_since and not self.is_known(asked):
            del asked.query["since"]


class StartsAnewAfterACut(Knowing):
    """Knows no cursor in the middle of the list."""

    def ask(self, asked: Asked) -> None:
        if self.is_of_a_part(asked):
            del asked.query["since"]


class LosesRowsAfterACut(Knowing):
    """Thinks that the gate has the line after its cursor, too."""

    def answer(self, asked: Asked, answered: Answered) -> None:
        super().answer(asked, answered)
        if self.is_of_a_part(asked):
            answered.lines.remove(next(answered.kind("tickets")))


class HeldToTheEnd(Fault):
    """Looks for changes only when the wait is over."""

    def ask(self, asked: Asked) -> None:
        if asked.is_since and "wait" in asked.query:
            with suppress(ValueError):
                asked.hold_s = max(float(asked.query["wait"]), 0)
                del asked.query["wait"]


def unknown_cursor_bad(_asked: Asked, answered: Answered) -> None:
    if answered.status == 410:
        answered.status = 400


def wait_ignored(asked: Asked) -> None:
    asked.query.pop("wait", None)


def wait_outrun(asked: Asked) -> None:
    if asked.query.get("wait") == "0.2":
        asked.query["wait"] = "50"


@dataclass
class RemembersTheStream(Fault):
    """Thinks that a gate has what was sent before, though the stream was cut: that of the fourth snapshot."""

    snapshots: int = 0

    def answer(self, asked: Asked, answered: Answered) -> None:
        self.snapshots += asked.is_snapshot and answered.is_feed
        if asked.is_snapshot and self.snapshots == 4:
            answered.lines.remove(next(answered.kind("tickets")))


def at_range(change: Any, path: str = "/tickets", digits: tuple[int, ...] = (2,)) -> Any:
    def answer(asked: Asked, answered: Answered) -> None:
        if asked.path == path and answered.status == 200 and len(asked.query["prefix"]) in digits:
            change(answered)

    return answer


def more_of(answered: Answered) -> None:
    answered.body |= {"count": answered.body["count"] + 1}


def one_child_wrong(answered: Answered) -> None:
    body = answered.body
    body["children"]["7"]["count"] += 1
    answered.body = body


def few_children(answered: Answered) -> None:
    answered.body |= {"children": {name: part for name, part in answered.body["children"].items() if part["count"]}}


def children_of_a_lookup(answered: Answered) -> None:
    answered.body |= {"children": {"0": {"count": 0, "fingerprint": "0" * 32}}}


def no_capitals(asked: Asked) -> Answered | None:
    prefix = asked.query.get("prefix", "")
    return refused(400) if prefix != prefix.lower() else None


def not_offered(asked: Asked) -> Answered | None:
    return refused(404, "not_found") if asked.path in {"/fingerprints", "/tickets"} else None


def a_row_missing(answered: Answered) -> None:
    for line in answered.kind("tickets"):
        line["rows"].pop()


CASES = [
    in_feed("not ready", not_ready, "snapshot-answer"),
    in_feed("html", typed("text/html"), "snapshot-content-type"),
    packing("no line feed", no_line_feed, "snapshot-line-feed"),
    in_feed("a line of no JSON", with_line(1, {"kind": "x", "raw": "ok\n"}), "snapshot-lines"),
    in_feed("a line without kind", with_line(1, {"kind": "x", "raw": '{"id":"e-1"}\n'}), "snapshot-lines"),
    in_feed("a state of its own", at_event(status="open"), "snapshot-fields"),
    in_feed("a number as text", at_cursors(tickets=str), "snapshot-fields"),
    in_feed("a zone by offset", at_event(tz="+02:00"), "snapshot-fields"),
    in_feed("1,001 rows", long_line, "snapshot-rows"),
    in_feed("time without Z", at_event(starts_at="2026-05-01T18:00:00+00:00"), "snapshot-instants"),
    in_feed("local time", at_event(starts_at="2026-05-01T18:00:00"), "snapshot-instants"),
    in_feed("no reset", without("reset"), "snapshot-reset-first"),
    in_feed("a line after the cursor", event_again, "snapshot-cursor-last"),
    in_feed("more at the end", last_says_more, "snapshot-cursor-last"),
    in_feed("wrong count", at_cursors(tickets=lambda n: n + 1), "snapshot-count"),
    in_feed("wrong fingerprint", at_cursors(fingerprint="f" * 32), "snapshot-fingerprint"),
    in_feed("misspelt field", at_event(venu="Palace"), "snapshot-words"),
    in_feed("a kind of its own", with_line(1, {"kind": "promo"}), "snapshot-words"),
    in_feed("two ids", one_lookup_two_ids, "snapshot-lookup-once"),
    in_feed("no ticket types", without("ticket_type"), "snapshot-references"),
    packing("packed unasked", always_packed, "gzip-not-asked"),
    packing("packed without label", packed_without_label, "gzip-asked", "gzip-offered"),
    packing("label without packing", label_without_packing, "gzip-asked"),
    packing("packing without end", packing_without_end, "gzip-asked"),
    packing("packed in parts", packed_in_parts, "gzip-asked"),
    packing("never packed", never_packed, "gzip-offered"),
    Case("since ignored", {"since-last", "resume-goes-on", "tickets-range-cursor"}, SinceIgnored),
    in_feed("always the event", with_line(0, EVENT), "since-last", since=True),
    asking("wait ignored", wait_ignored, "wait-held", ask=None),
    asking("wait outrun", wait_outrun, "wait-in-time", grace_s=0.3),
    Case("any cursor taken", {"cursor-unknown"}, AnyCursorTaken),
    answering("400 for a cursor", unknown_cursor_bad, "cursor-unknown"),
    Case("held to the end", {"live-change"}, HeldToTheEnd, {"change_s": 0.5}),
    Case("remembers the stream", {"cut-stream", "changes-sums"}, RemembersTheStream),
    Case("loses rows after a cut", {"resume-same-list", "changes-sums"}, LosesRowsAfterACut),
    Case("starts anew after a cut", {"resume-goes-on"}, StartsAnewAfterACut),
    in_feed("time without Z later", at_cursors(at="2026-05-01T18:00:00+00:00"), "changes-form", since=True),
    in_feed("html later", typed("text/html"), "changes-form", since=True),
    in_feed("wrong fingerprint later", at_cursors(fingerprint="f" * 32), "changes-sums", since=True),
    asking("ranges not offered", not_offered),
    answering("whole count", at_range(more_of, "/fingerprints", (0,)), "fingerprints-whole", "fingerprints-children"),
    answering("a child's count", at_range(one_child_wrong, "/fingerprints", (0,)), "fingerprints-children"),
    answering("children left out", at_range(few_children, "/fingerprints", (0, 1)), "fingerprints-children"),
    answering("a range's count", at_range(more_of, "/fingerprints"), "fingerprints-rows"),
    answering("children of none", at_range(children_of_a_lookup, "/fingerprints", (32,)), "fingerprints-rows"),
    asking("no capitals", no_capitals, "fingerprints-rows"),
    answering("a range's row", at_range(a_row_missing), "tickets-range"),
    answering("a range's reset", at_range(with_line(0, {"kind": "reset"})), "tickets-range"),
    answering("a range without end", at_range(with_line(-1, EVENT)), "tickets-range"),
    answering("a range's sums", at_range(at_cursors(tickets=7)), "tickets-range-cursor"),
]
