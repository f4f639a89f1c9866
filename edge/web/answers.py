"""What the device's API answers, as models: for the OpenAPI document and the tests. Answers are not built from them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Trust = Literal["trusted", "estimated", "unknown"]
Way = Literal["entry", "exit"]
Verdict = Literal["admitted", "exited", "refused"]
Passage = Literal["passed", "not_passed", "unknown"]


class Out(BaseModel):
    """All that is answered is named here."""

    model_config = ConfigDict(extra="forbid")


class TicketShown(Out):
    """The ticket that a code stands for."""

    id: str
    event: str
    type: str
    type_name: str | None
    state: Literal["valid", "cancelled", "blocked", "revoked", "unpaid"]
    holder: str | None
    seat: str | None
    source: str | None


class ScanAnswer(Out):
    """A verdict; `title` and `message` are in the device's language, `detail` the facts they are made of.

    `repeat`: nothing was recorded now, this is an earlier scan's answer. `of`: the scan that an override admits.
    `picture`: one of the code that was refused is kept.
    """

    scan_id: str
    verdict: Verdict
    reason: str
    title: str
    message: str
    detail: dict[str, Any]
    ticket: TicketShown | None
    event_name: str | None
    checkpoint: str | None
    checkpoint_name: str | None
    lane: str
    direction: Way
    at: str
    clock: Trust
    passage: Passage | None
    note: str | None
    of: str | None
    repeat: bool
    picture: bool
    took_ms: float


class NoticeAnswer(Out):
    """What was offered is no ticket: a badge or an enrolment code, and what came of it."""

    notice: Literal["shift_opened", "shift_closed", "not_assigned", "enrolled", "not_enrolled", "already_enrolled"]
    look: Literal["noted", "refused"]
    title: str
    message: str
    lane: str
    at: str


class JournalRow(Out):
    """One scan as sent to the CRM (design section 7)."""

    scan_id: str
    seq: int
    prev: str
    lane: str
    checkpoint: str | None
    controller: str | None
    ticket_id: str | None
    lookup: str | None
    code: str | None
    direction: Way
    verdict: Verdict
    reason: str
    at: str
    clock: Trust
    passage: Passage | None
    note: str | None
    of: str | None = None


class ScansAnswer(Out):
    """Rows of the journal, oldest first."""

    scans: list[JournalRow]


class HistoryAnswer(Out):
    """The newest answers of a lane, newest first."""

    lane: str
    scans: list[ScanAnswer]


class ControllerShown(Out):
    """A person at the gate."""

    id: str
    name: str
    supervisor: bool


class ControllersAnswer(Out):
    """Who may sign in."""

    controllers: list[ControllerShown]


class ShiftAnswer(Out):
    """Who has signed in, where."""

    lane: str
    controller: ControllerShown


class ChangesAnswer(Out):
    """How many lines were read, and where the next push goes on from; `tickets` and the rest are of the list in use.

    `held` says why a newer list waits for a person, `wanted` why the whole list is to be pushed anew. An error that
    comes of the lines has the same beside it, but for `lines`.
    """

    lines: int
    cursor: str | None
    tickets: int
    fingerprint: str
    held: str | None
    wanted: str | None


class AskedAnswer(BaseModel):
    """What was asked for is under way."""

    asked: Literal["now", "accept"]


class ReadyAnswer(Out):
    """Guests can be judged."""

    ready: Literal[True]


class DeviceStatus(Out):
    """Who this box is."""

    name: str
    id: str | None
    organiser: str | None
    enrolled: bool


class ClockStatus(Out):
    """The gate's time, how far it is believed, and the CRM's time less it."""

    now: str
    trust: Trust
    skew_s: float | None


class DataStatus(Out):
    """The ticket list in use; `held`: why a newer one waits for a person's word."""

    age_s: int | None
    synced_at: str | None
    tickets: int
    cursor: str | None
    fingerprint: str
    held: str | None
    unknown: int


class ProgressStatus(Out):
    """A list that is being pulled: tickets so far, of how many if the CRM tells, a second, and seconds left."""

    tickets: int
    total: int | None
    per_s: float
    left_s: float | None


class CrmStatus(Out):
    """The way to the CRM."""

    url: str | None
    state: Literal["none", "connecting", "connected", "away", "refused", "revoked"]
    error: str | None
    note: str | None
    heard_at: str | None
    progress: ProgressStatus | None


class BacklogStatus(Out):
    """What the CRM has not got yet."""

    unsent: int
    head_seq: int
    acked_seq: int
    oldest_at: str | None
    parked: int


class PersonOnShift(Out):
    """Who is signed in."""

    id: str
    name: str


class TurnstileStatus(Out):
    """How the turnstile fares; `held_open`: by an emergency contact."""

    fault: str | None
    held_open: bool


class LaneStatus(Out):
    """One lane: where it works, and whether it can."""

    id: str
    direction: Literal["entry", "exit", "both"]
    checkpoint: str | None
    checkpoint_name: str | None
    event: str | None
    event_name: str | None
    event_status: Literal["draft", "confirmed", "completed", "cancelled"] | None
    tz: str | None
    open: bool
    opens_at: str | None
    requires_controller: bool
    controllers: list[PersonOnShift]
    cannot_record: str | None
    turnstile: TurnstileStatus | None


class CameraFigures(Out):
    """How a camera fares: counts since its process began, rates of the last second.

    `dropped` came while an earlier one was decoded; in `still` ones nothing had moved. `median_ms` is of decoding.
    `brightness` is 0 to 255, `sharpness` below about 30 where it is out of focus; `hint` says what spoils the picture.
    """

    id: str
    frames: int
    dropped: int
    still: int
    fps: float
    median_ms: float
    brightness: int
    sharpness: int
    hint: Literal["too_dark", "too_bright", "out_of_focus"] | None


class ReaderStatus(Out):
    """One reader of a lane; `spoiled` counts codes that it did not send well, `symbology` is the last code's."""

    lane: str
    driver: str
    device: str
    state: Literal["starting", "running", "lost", "stopped"]
    error: str | None
    reads: int
    spoiled: int
    spoiled_why: str | None
    symbology: str | None
    camera: CameraFigures | None


class StatusAnswer(Out):
    """What the gate believes and how it fares; `shift`: controllers' ids by lane."""

    version: str
    device: DeviceStatus
    clock: ClockStatus
    data: DataStatus
    crm: CrmStatus
    backlog: BacklogStatus
    conflicts: list[dict[str, Any]]
    lanes: list[LaneStatus]
    readers: list[ReaderStatus]
    shift: dict[str, list[str]]
    faults: list[str]


class CameraStatus(Out):
    """One camera; `on_page`: the gate page shows it. The rest is as in `CameraFigures`, and null before it is up."""

    id: str
    lane: str
    device: str
    on_page: bool
    state: Literal["starting", "running", "lost", "stopped"]
    error: str | None
    frames: int | None
    dropped: int | None
    still: int | None
    fps: float | None
    median_ms: float | None
    brightness: float | None
    sharpness: float | None
    hint: Literal["too_dark", "too_bright", "out_of_focus"] | None


class CamerasAnswer(Out):
    """The cameras of all lanes."""

    cameras: list[CameraStatus]


class ErrorBody(Out):
    """What went wrong, for programs and for people; `field` where one is to blame."""

    code: str
    message: str
    field: str | None = None


class ErrorAnswer(Out):
    """Every error of this API."""

    error: ErrorBody


class ParkedScan(Out):
    """A scan that the CRM would not take: its word and message, since when, and the scan as it was sent."""

    seq: int
    scan_id: str
    code: str
    message: str
    at: str
    retry: bool
    scan: dict[str, Any]


class ParkedAnswer(Out):
    """`GET /api/v1/sync/parked`."""

    parked: list[ParkedScan]


class RetriedAnswer(Out):
    """How many scans are to be sent again."""

    retried: int


class DroppedAnswer(Out):
    """The scan that the CRM will never have."""

    dropped: str
