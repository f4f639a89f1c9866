"""What a CRM can get wrong with scans, and in what it tells of them."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.core.admission import NOT_A_VERDICT, Reason
from tests.crm.conformance.faulty import Answered, Asked, Case, Fault, answering, asking, at, refused

Row = dict[str, Any]


@dataclass
class Rejecting(Fault):
    """Rejects rows that it should take; `rows` are those of the request at hand, `seen` all before it."""

    wrongly: Callable[["Rejecting", Row], bool]
    rows: list[Row] = field(default_factory=list)
    seen: dict[str, Row] = field(default_factory=dict)

    @property
    def seqs(self) -> set[int]:
        return {row["seq"] for row in self.seen.values()}

    def ask(self, asked: Asked) -> None:
        self.rows, kept = [], list[Row]()
        for row in asked.scans:
            (self.rows if self.wrongly(self, row) else kept).append(row)
            self.seen[str(row.get("scan_id"))] = row
        if self.rows:
            asked.body = {**asked.body, "scans": kept}

    def answer(self, asked: Asked, answered: Answered) -> None:
        if self.rows and answered.status == 200:
            bad = [{"scan_id": row["scan_id"], "code": "no", "message": "not taken"} for row in self.rows]
            last = max(answered.body["acked"], *(row["seq"] for row in self.rows))
            answered.body |= {"acked": last, "rejected": answered.body["rejected"] + bad}


def rejecting(name: str, wrongly: Callable[[Rejecting, Row], bool], *fails: str) -> Case:
    return Case(name, set(fails), lambda: Rejecting(wrongly))


def is_no_uuid(_fault: Rejecting, row: Row) -> bool:
    try:
        uuid.UUID(row["scan_id"])
    except ValueError:
        return True
    return False


def is_new_word(_fault: Rejecting, row: Row) -> bool:
    return row["reason"] not in {*Reason, *NOT_A_VERDICT}


def all_or_nothing(asked: Asked, answered: Answered) -> None:
    if asked.path == "/scans" and answered.status == 200 and answered.body["rejected"]:
        all_of_them = [{"scan_id": row["scan_id"], "code": "no", "message": "no"} for row in asked.scans]
        answered.body |= {"rejected": all_of_them}


def whole_batch_bad(asked: Asked) -> Answered | None:
    return refused(400) if any(row.get("at") == "yesterday" for row in asked.scans) else None


def takes_anything(answered: Answered) -> None:
    answered.body |= {"rejected": []}


def without_message(answered: Answered) -> None:
    answered.body |= {"rejected": [{**each, "message": ""} for each in answered.body["rejected"]]}


def acked_too_high(answered: Answered) -> None:
    answered.body |= {"acked": answered.body["acked"] + 100}


def no_big_batch(asked: Asked) -> Answered | None:
    return refused(413, "body_too_large") if len(asked.scans) > 200 else None


def strict_fields(asked: Asked) -> Answered | None:
    return refused(400) if asked.path == "/scans" and asked.body.keys() - {"device_id", "scans"} else None


@dataclass
class Remembering(Fault):
    """Knows the devices by their tokens, and what they have sent."""

    devices: dict[str, str] = field(default_factory=dict)
    admissions: dict[str, tuple[str, Row]] = field(default_factory=dict)

    def ask(self, asked: Asked) -> Answered | None:
        for row in asked.scans:
            if row.get("verdict") == "admitted":
                self.repeated(asked, row)
                self.admissions.setdefault(row["scan_id"], (asked.token, row))
        return None

    def repeated(self, asked: Asked, row: Row) -> None:
        """An admission is sent, perhaps again."""

    def answer(self, asked: Asked, answered: Answered) -> None:
        if asked.path == "/enrol" and answered.status == 200:
            self.devices[answered.body["token"]] = answered.body["device_id"]

    def line(self) -> Row:
        """The admissions made so far, as a line."""
        rows = [
            [name, row["ticket_id"], row["checkpoint"], row["direction"], row["at"], self.devices[token]]
            for name, (token, row) in self.admissions.items()
        ]
        return {"kind": "admissions", "rows": rows}


class AnyDevice(Remembering):
    """Looks at the token only."""

    def ask(self, asked: Asked) -> Answered | None:
        if asked.path == "/scans" and asked.token in self.devices:
            asked.body = {**asked.body, "device_id": self.devices[asked.token]}
        return None


class CountsTwice(Remembering):
    """Stores a scan each time that it comes."""

    def repeated(self, asked: Asked, row: Row) -> None:
        if row["scan_id"] in self.admissions:
            asked.body = {**asked.body, "scans": [{**row, "scan_id": str(uuid.uuid4())}]}


class SeesConflicts(Remembering):
    """Takes a scan that comes again for another admission of the same ticket."""

    conflict: Row | None = None

    def repeated(self, asked: Asked, row: Row) -> None:
        if row["scan_id"] in self.admissions:
            self.conflict = {"scan_id": row["scan_id"], "ticket_id": row["ticket_id"], "event": "e-1", "scans": []}

    def answer(self, asked: Asked, answered: Answered) -> None:
        if asked.path == "/scans" and self.conflict and answered.status == 200:
            answered.body |= {"conflicts": [self.conflict]}
            self.conflict = None


class TellsTheirOwn(Remembering):
    """Sends a device its own admissions, too."""

    def answer(self, asked: Asked, answered: Answered) -> None:
        super().answer(asked, answered)
        if answered.is_feed and asked.is_since and any(asked.token == token for token, _ in self.admissions.values()):
            answered.lines.insert(0, self.line())


class ForgetsReleases(Remembering):
    """Goes on listing admissions that were taken back."""

    def answer(self, asked: Asked, answered: Answered) -> None:
        super().answer(asked, answered)
        makers = {token for token, _ in self.admissions.values()}
        if answered.is_feed and asked.is_snapshot and makers and asked.token not in makers:
            answered.lines.insert(1, self.line())


def not_told(asked: Asked, answered: Answered) -> None:
    if asked.is_since:
        answered.lines = [line for line in answered.lines if line["kind"] != "admissions"]


def not_listed(asked: Asked, answered: Answered) -> None:
    if asked.is_snapshot:
        answered.lines = [line for line in answered.lines if line["kind"] != "admissions"]


def not_taken_back(asked: Asked, answered: Answered) -> None:
    if asked.is_since:
        answered.lines = [line for line in answered.lines if line.get("of") != "admissions"]


CASES = [
    answering("acked too high", at("/scans", acked_too_high), "scans-acked"),
    rejecting("doubles rejected", lambda f, row: row["scan_id"] in f.seen, "scans-again", "admission-acked"),
    asking("whole batch bad", whole_batch_bad, "scans-reject-one"),
    answering("whole batch rejected", all_or_nothing, "scans-reject-one"),
    answering("nothing rejected", at("/scans", takes_anything), "scans-reject-one"),
    answering("rejected without a word", at("/scans", without_message), "scans-reject-one"),
    asking("no big batch", no_big_batch, "scans-500"),
    rejecting("no gap", lambda f, row: bool(f.seqs) and row["seq"] > max(f.seqs) + 1, "scans-gap"),
    rejecting("seq once", lambda f, row: row["scan_id"] not in f.seen and row["seq"] in f.seqs, "scans-same-seq"),
    Case("any device", {"scans-own-device"}, AnyDevice),
    rejecting("ASCII notes", lambda _f, row: not (row["note"] or "").isascii(), "scan-text"),
    rejecting("short codes", lambda _f, row: len(row["code"] or "") > 255, "scan-text"),
    rejecting("known checkpoints", lambda _f, row: row["checkpoint"] not in {None, "c-1", "c-2"}, "scan-no-ticket"),
    rejecting("clocks that are sure", lambda _f, row: row["clock"] == "unknown", "scan-nothing-read"),
    rejecting("no emergencies", lambda _f, row: row["reason"].startswith("emergency"), "scan-emergency"),
    rejecting("UUIDs", is_no_uuid, "scan-named-id"),
    rejecting("known reasons", is_new_word, "scan-new-reason"),
    rejecting("known fields", lambda _f, row: "field_of_a_later_version" in row, "scan-new-fields"),
    asking("strict fields", strict_fields, "scan-new-fields"),
    Case("sees conflicts", {"admission-acked"}, SeesConflicts),
    rejecting(
        "no admissions",
        lambda _fault, row: row["verdict"] == "admitted",
        *("admission-acked", "admission-told", "admission-in-snapshot"),
    ),
    answering("not told", not_told, "admission-told"),
    Case("counts twice", {"admission-once"}, CountsTwice),
    answering("not listed", not_listed, "admission-in-snapshot"),
    Case("tells their own", {"admission-not-own"}, TellsTheirOwn),
    rejecting("no releases", lambda _f, row: row["reason"] == "not_passed", "release-acked"),
    answering("not taken back", not_taken_back, "release-told"),
    Case("forgets releases", {"release-in-snapshot"}, ForgetsReleases),
]
