"""What the controller reads: a title and a sentence for each reason, in Ukrainian, English and Russian.

The sentence carries the fact that matters and what to tell the guest. Times are local to the event's zone (those of
another event to its own); the date is added when it is not today's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from edge.core.admission import Detail, Reason

Language = Literal["uk", "en", "ru"]


@dataclass(frozen=True, slots=True)
class Message:
    """`title` is read at a glance, `text` says why and what to do."""

    title: str
    text: str


def explain(
    reason: Reason, detail: Detail, language: Language, zone: tzinfo = UTC, now: datetime | None = None
) -> Message:
    """Put a reason and its facts into words; total, whatever is missing from `detail`."""
    title, text = _TEXTS[language][reason]
    words = _WORDS[language]
    extra = _FACTS[reason](_Teller(detail, words, zone, now)) if reason in _FACTS else ""
    return Message(title, f"{text} {extra}".strip() if extra else text)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Reads facts out of a detail as words."""

    detail: Detail
    words: dict[str, str]
    zone: tzinfo
    now: datetime | None

    def time(self, key: str, zone: tzinfo | None = None) -> str | None:
        """Write the instant under `key` as local time, with its date unless that is today."""
        raw = self.detail.get(key)
        if not isinstance(raw, str):
            return None
        zone = zone or self.zone
        try:
            instant = datetime.fromisoformat(raw)
            local = instant.astimezone(zone)
        except (ValueError, OverflowError):
            return raw
        if instant.tzinfo is None:  # would be taken in the zone in which this machine happens to run
            return raw
        today = self.now is not None and local.date() == self.now.astimezone(zone).date()
        return f"{local:%H:%M}" if today else f"{local:%d.%m.%Y %H:%M}"

    def age(self, key: str) -> str | None:
        """Write the seconds under `key` as a rounded duration."""
        seconds = self.detail.get(key)
        if not isinstance(seconds, int):
            return None
        size, sign = abs(seconds), "-" if seconds < 0 else ""
        if size < 120:
            return f"{sign}{size} {self.words['s']}"
        if size < 7200:
            return f"{sign}{size // 60} {self.words['min']}"
        return f"{sign}{size // 3600} {self.words['h']}"

    def names(self, key: str) -> str:
        """Join the names under `key`."""
        names = self.detail.get(key)
        return ", ".join(str(name) for name in names) if isinstance(names, list) else ""

    def say(self, word: str, value: object) -> str:
        """Fill one phrase; empty when its fact is missing."""
        return self.words[word].format(value) if value not in (None, "") else ""


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _first_use(tell: _Teller) -> str:
    at, where, device = tell.time("first_at"), tell.detail.get("first_checkpoint"), tell.detail.get("first_device")
    place = f"{where} ({device})" if where and device else where or device
    when = f"{at}, {place}" if at and place else at
    return _sentences(tell.say("first", when), tell.say("again", tell.time("again_at")))


def _wrong_event(tell: _Teller) -> str:
    starts = tell.time("event_at", _zone(tell.detail.get("event_tz")))
    return _sentences(tell.say("event", tell.detail.get("event")), tell.say("event_at", starts))


def _zone(name: object) -> tzinfo | None:
    """Find the zone of another event, which may be far from this one; None where the name is of no use."""
    try:
        return ZoneInfo(name) if isinstance(name, str) else None
    except (KeyError, ValueError, OSError):
        return None


def _wrong_checkpoint(tell: _Teller) -> str:
    if tell.detail.get("unassigned"):
        return tell.words["unassigned"]
    return tell.say("go_to", tell.names("checkpoints")) or tell.words["nowhere"]


def _unknown(tell: _Teller) -> str:
    if "data_age_s" in tell.detail and tell.detail["data_age_s"] is None:
        return tell.words["no_data"]
    return tell.say("data_age", tell.age("data_age_s"))


def _closed(tell: _Teller) -> str:
    return tell.say("opens", tell.time("opens_at")) or tell.words["no_opening"]


def _zone_full(tell: _Teller) -> str:
    inside, capacity = tell.detail.get("inside"), tell.detail.get("capacity")
    return tell.say("full", f"{inside}/{capacity}") if None not in (inside, capacity) else ""


def _status(tell: _Teller) -> str:
    status = tell.detail.get("status")
    return tell.say("status", tell.words.get(f"status_{status}", status))


_FACTS: dict[Reason, Callable[[_Teller], str]] = {
    Reason.UNKNOWN_TICKET: _unknown,
    Reason.EVENT_NOT_OPEN: _status,
    Reason.WRONG_EVENT: _wrong_event,
    Reason.WRONG_CHECKPOINT: _wrong_checkpoint,
    Reason.NOT_YET_VALID: lambda tell: tell.say("valid_from", tell.time("valid_from")),
    Reason.EXPIRED: lambda tell: tell.say("valid_until", tell.time("valid_until")),
    Reason.CHECKPOINT_CLOSED: _closed,
    Reason.NO_CONTROLLER: lambda tell: tell.say("assigned", tell.names("controllers")),
    Reason.ALREADY_USED: _first_use,
    Reason.PASSBACK: _first_use,
    Reason.TOO_SOON: _first_use,
    Reason.ZONE_FULL: _zone_full,
    Reason.DATA_STALE: lambda tell: tell.say("data_age", tell.age("data_age_s")) or tell.words["no_data"],
    Reason.CLOCK_UNTRUSTED: lambda tell: tell.say("skew", tell.age("skew_s")),
}

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "s": "s",
        "min": "min",
        "h": "h",
        "first": "First used {}.",
        "again": "Again from {}.",
        "event": "It is for “{}”.",
        "event_at": "Starts {}.",
        "go_to": "Go to: {}.",
        "nowhere": "No other gate admits it either.",
        "unassigned": "This lane has no checkpoint: assign one in the CRM or in the settings.",
        "no_data": "This gate has no ticket list yet and cannot know: check the connection.",
        "data_age": "Ticket list is {} old.",
        "opens": "Opens {}.",
        "no_opening": "It does not open again.",
        "full": "Inside: {}.",
        "status": "Event is {}.",
        "status_draft": "a draft",
        "status_completed": "over",
        "status_cancelled": "cancelled",
        "status_unknown": "unknown to this gate",
        "valid_from": "Valid from {}.",
        "valid_until": "Was valid until {}.",
        "assigned": "Assigned: {}.",
        "skew": "Clock is off by {}.",
    },
    "uk": {
        "s": "с",
        "min": "хв",
        "h": "год",
        "first": "Перший прохід {}.",
        "again": "Знову з {}.",
        "event": "Він на «{}».",
        "event_at": "Початок {}.",
        "go_to": "Пройдіть до: {}.",
        "nowhere": "Інші входи його теж не приймають.",
        "unassigned": "Цій смузі не призначено пункт: призначте його в CRM або в налаштуваннях.",
        "no_data": "На цьому пристрої ще немає списку квитків, перевірити неможливо: перевірте зв'язок.",
        "data_age": "Списку квитків {}.",
        "opens": "Відкриється {}.",
        "no_opening": "Більше не відкриється.",
        "full": "Усередині: {}.",
        "status": "Подія: {}.",
        "status_draft": "чернетка",
        "status_completed": "завершена",
        "status_cancelled": "скасована",
        "status_unknown": "невідома цьому пристрою",
        "valid_from": "Дійсний з {}.",
        "valid_until": "Був дійсний до {}.",
        "assigned": "Призначені: {}.",
        "skew": "Годинник розходиться на {}.",
    },
    "ru": {
        "s": "с",
        "min": "мин",
        "h": "ч",
        "first": "Первый проход {}.",
        "again": "Снова с {}.",
        "event": "Он на «{}».",
        "event_at": "Начало {}.",
        "go_to": "Пройдите к: {}.",
        "nowhere": "Другие входы его тоже не принимают.",
        "unassigned": "Этой полосе не назначен пункт: назначьте его в CRM или в настройках.",
        "no_data": "На этом устройстве ещё нет списка билетов, проверить невозможно: проверьте связь.",
        "data_age": "Списку билетов {}.",
        "opens": "Откроется {}.",
        "no_opening": "Больше не откроется.",
        "full": "Внутри: {}.",
        "status": "Событие: {}.",
        "status_draft": "черновик",
        "status_completed": "завершено",
        "status_cancelled": "отменено",
        "status_unknown": "неизвестно этому устройству",
        "valid_from": "Действителен с {}.",
        "valid_until": "Был действителен до {}.",
        "assigned": "Назначены: {}.",
        "skew": "Часы расходятся на {}.",
    },
}

_TEXTS: dict[Language, dict[Reason, tuple[str, str]]] = {
    "en": {
        Reason.ADMITTED: ("ADMITTED", "Welcome."),
        Reason.EXITED: ("EXIT", "Goodbye."),
        Reason.OVERRIDE: ("ADMITTED BY SUPERVISOR", "Let in by the supervisor's decision."),
        Reason.NOT_PASSED: ("DID NOT PASS", "The turnstile did not turn; the ticket can be used again."),
        Reason.EMERGENCY_OPEN: ("HELD OPEN", "An emergency contact holds this lane open. Let everybody through."),
        Reason.EMERGENCY_OVER: ("EMERGENCY OVER", "The lane is locked again."),
        Reason.UNREADABLE: (
            "SCAN AGAIN",
            "The code could not be read. Ask the guest to brighten the screen.",
        ),
        Reason.UNKNOWN_TICKET: ("UNKNOWN TICKET", "No such ticket. Send the guest to the ticket desk."),
        Reason.CANCELLED: ("TICKET CANCELLED", "Returned or cancelled. Send the guest to the ticket desk."),
        Reason.BLOCKED: ("TICKET BLOCKED", "Blocked by the organiser. Call the supervisor."),
        Reason.REVOKED: ("TICKET REVOKED", "Withdrawn; a newer ticket may have been sent. Ask for it."),
        Reason.UNPAID: ("NOT PAID", "Not paid for. Send the guest to the ticket desk."),
        Reason.EVENT_NOT_OPEN: ("EVENT NOT OPEN", "This event admits nobody now."),
        Reason.WRONG_EVENT: ("ANOTHER EVENT", "The ticket is for another event."),
        Reason.WRONG_CHECKPOINT: ("ANOTHER GATE", "This ticket is not admitted here."),
        Reason.NOT_YET_VALID: ("TOO EARLY", "The ticket is not valid yet."),
        Reason.EXPIRED: ("EXPIRED", "The ticket is no longer valid."),
        Reason.CHECKPOINT_CLOSED: ("GATE CLOSED", "This checkpoint is closed."),
        Reason.NO_CONTROLLER: ("NO CONTROLLER", "No assigned controller is on shift: sign in first."),
        Reason.ALREADY_USED: ("ALREADY USED", "This ticket has been used."),
        Reason.PASSBACK: ("ALREADY INSIDE", "The guest is inside and must leave first."),
        Reason.TOO_SOON: ("TOO SOON", "Used a moment ago."),
        Reason.ZONE_FULL: ("ZONE FULL", "No room inside. Ask the guest to wait."),
        Reason.DATA_STALE: ("OLD DATA", "The ticket list is too old to admit by. Check the connection."),
        Reason.CLOCK_UNTRUSTED: ("CLOCK NOT SURE", "This gate is not sure of the time. Call the technician."),
    },
    "uk": {
        Reason.ADMITTED: ("ПРОХОДЬТЕ", "Ласкаво просимо."),
        Reason.EXITED: ("ВИХІД", "До побачення."),
        Reason.OVERRIDE: ("ПРОПУЩЕНО СТАРШИМ", "Пропущено за рішенням старшого."),
        Reason.NOT_PASSED: ("НЕ ПРОЙШОВ", "Турнікет не повернувся; квиток можна використати знову."),
        Reason.EMERGENCY_OPEN: ("ВІДКРИТО АВАРІЙНО", "Аварійний контакт тримає прохід відкритим. Пропускайте всіх."),
        Reason.EMERGENCY_OVER: ("АВАРІЮ ЗНЯТО", "Прохід знову замкнено."),
        Reason.UNREADABLE: ("ЗІСКАНУЙТЕ ЩЕ РАЗ", "Код не прочитано. Попросіть збільшити яскравість екрана."),
        Reason.UNKNOWN_TICKET: ("КВИТОК НЕВІДОМИЙ", "Такого квитка немає. Направте гостя до каси."),
        Reason.CANCELLED: ("КВИТОК СКАСОВАНО", "Повернуто або скасовано. Направте гостя до каси."),
        Reason.BLOCKED: ("КВИТОК ЗАБЛОКОВАНО", "Заблоковано організатором. Покличте старшого."),
        Reason.REVOKED: ("КВИТОК ВІДКЛИКАНО", "Відкликано; можливо, надіслано новіший. Попросіть його."),
        Reason.UNPAID: ("НЕ ОПЛАЧЕНО", "Квиток не оплачено. Направте гостя до каси."),
        Reason.EVENT_NOT_OPEN: ("ПОДІЮ НЕ ВІДКРИТО", "На цю подію зараз не пускають."),
        Reason.WRONG_EVENT: ("ІНША ПОДІЯ", "Квиток на іншу подію."),
        Reason.WRONG_CHECKPOINT: ("ІНШИЙ ВХІД", "Тут цей квиток не приймають."),
        Reason.NOT_YET_VALID: ("ЗАРАНО", "Квиток ще не дійсний."),
        Reason.EXPIRED: ("СТРОК МИНУВ", "Квиток уже не дійсний."),
        Reason.CHECKPOINT_CLOSED: ("ВХІД ЗАЧИНЕНО", "Цей пункт зачинено."),
        Reason.NO_CONTROLLER: ("НЕМАЄ КОНТРОЛЕРА", "Жоден призначений контролер не на зміні: увійдіть."),
        Reason.ALREADY_USED: ("ВЖЕ ВИКОРИСТАНО", "Цей квиток уже використано."),
        Reason.PASSBACK: ("ВЖЕ ВСЕРЕДИНІ", "Гість усередині й має спершу вийти."),
        Reason.TOO_SOON: ("ЗАШВИДКО", "Щойно використано."),
        Reason.ZONE_FULL: ("ЗОНА ЗАПОВНЕНА", "Усередині немає місця. Попросіть зачекати."),
        Reason.DATA_STALE: ("ДАНІ ЗАСТАРІЛИ", "Список квитків застарий, щоб пускати. Перевірте зв'язок."),
        Reason.CLOCK_UNTRUSTED: ("ГОДИННИК НЕПЕВНИЙ", "Пристрій не певен часу. Покличте техніка."),
    },
    "ru": {
        Reason.ADMITTED: ("ПРОХОДИТЕ", "Добро пожаловать."),
        Reason.EXITED: ("ВЫХОД", "До свидания."),
        Reason.OVERRIDE: ("ПРОПУЩЕНО СТАРШИМ", "Пропущено по решению старшего."),
        Reason.NOT_PASSED: ("НЕ ПРОШЁЛ", "Турникет не повернулся; билет можно использовать снова."),
        Reason.EMERGENCY_OPEN: ("ОТКРЫТО АВАРИЙНО", "Аварийный контакт держит проход открытым. Пропускайте всех."),
        Reason.EMERGENCY_OVER: ("АВАРИЯ СНЯТА", "Проход снова заперт."),
        Reason.UNREADABLE: ("СКАНИРУЙТЕ ЕЩЁ РАЗ", "Код не прочитан. Попросите прибавить яркость экрана."),
        Reason.UNKNOWN_TICKET: ("БИЛЕТ НЕИЗВЕСТЕН", "Такого билета нет. Направьте гостя в кассу."),
        Reason.CANCELLED: ("БИЛЕТ ОТМЕНЁН", "Возвращён или отменён. Направьте гостя в кассу."),
        Reason.BLOCKED: ("БИЛЕТ ЗАБЛОКИРОВАН", "Заблокирован организатором. Позовите старшего."),
        Reason.REVOKED: ("БИЛЕТ ОТОЗВАН", "Отозван; возможно, прислан новый. Попросите его."),
        Reason.UNPAID: ("НЕ ОПЛАЧЕН", "Билет не оплачен. Направьте гостя в кассу."),
        Reason.EVENT_NOT_OPEN: ("СОБЫТИЕ НЕ ОТКРЫТО", "На это событие сейчас не пускают."),
        Reason.WRONG_EVENT: ("ДРУГОЕ СОБЫТИЕ", "Билет на другое событие."),
        Reason.WRONG_CHECKPOINT: ("ДРУГОЙ ВХОД", "Здесь этот билет не принимают."),
        Reason.NOT_YET_VALID: ("РАНО", "Билет ещё не действителен."),
        Reason.EXPIRED: ("СРОК ИСТЁК", "Билет уже не действителен."),
        Reason.CHECKPOINT_CLOSED: ("ВХОД ЗАКРЫТ", "Этот пункт закрыт."),
        Reason.NO_CONTROLLER: ("НЕТ КОНТРОЛЁРА", "Ни один назначенный контролёр не на смене: войдите."),
        Reason.ALREADY_USED: ("УЖЕ ИСПОЛЬЗОВАН", "Этот билет уже использован."),
        Reason.PASSBACK: ("УЖЕ ВНУТРИ", "Гость внутри и должен сначала выйти."),
        Reason.TOO_SOON: ("СЛИШКОМ СКОРО", "Только что использован."),
        Reason.ZONE_FULL: ("ЗОНА ЗАПОЛНЕНА", "Внутри нет места. Попросите подождать."),
        Reason.DATA_STALE: ("ДАННЫЕ УСТАРЕЛИ", "Список билетов слишком стар. Проверьте связь."),
        Reason.CLOCK_UNTRUSTED: ("ЧАСЫ НЕТОЧНЫ", "Устройство не уверено во времени. Позовите техника."),
    },
}
