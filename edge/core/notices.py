"""What a lane says beside its verdicts: a title and a sentence for each, in Ukrainian, English and Russian."""

import re
from collections.abc import Mapping
from enum import StrEnum

from edge.core.messages import Language, Message


class Notice(StrEnum):
    """What was read and is no ticket, or was not read well."""

    SHIFT_OPENED = "shift_opened"
    SHIFT_CLOSED = "shift_closed"
    NOT_ASSIGNED = "not_assigned"
    """The badge of a controller whom the checkpoint does not name."""
    ENROLLING = "enrolling"
    ENROLLED = "enrolled"
    NOT_ENROLLED = "not_enrolled"
    ALREADY_ENROLLED = "already_enrolled"
    SCAN_AGAIN = "scan_again"
    """The code did not come whole, or nobody knows it and it may have been misread."""


def explain_notice(kind: Notice, facts: Mapping[str, str], language: Language) -> Message:
    """Put a notice into words; `facts` are `name`, `organiser` and `why`, where there are any."""
    title, text = _TEXTS[language][kind]
    known = {"name": "?", "organiser": "?", "why": "", **facts}
    # All at once: a name may look like a place for something else.
    return Message(title, _PLACE.sub(lambda place: known[place[1]], text).strip())


_PLACE = re.compile("<(name|organiser|why)>")


_TEXTS: dict[Language, dict[Notice, tuple[str, str]]] = {
    "en": {
        Notice.SHIFT_OPENED: ("ON SHIFT", "<name> is signed in here."),
        Notice.SHIFT_CLOSED: ("SHIFT ENDED", "<name> is signed out."),
        Notice.NOT_ASSIGNED: ("NOT ASSIGNED HERE", "<name> is not assigned to this checkpoint. <why>"),
        Notice.ENROLLING: ("ENROLLING", "Asking <organiser>. This takes a moment."),
        Notice.ENROLLED: ("ENROLLED", "This box now works for <organiser> as <name>."),
        Notice.NOT_ENROLLED: ("NOT ENROLLED", "<why>"),
        Notice.ALREADY_ENROLLED: ("ALREADY ENROLLED", "This box works for <organiser>. Nothing was changed."),
        Notice.SCAN_AGAIN: ("SCAN AGAIN", "The code was not read well. Scan it once more."),
    },
    "uk": {
        Notice.SHIFT_OPENED: ("НА ЗМІНІ", "<name> тепер працює тут."),
        Notice.SHIFT_CLOSED: ("ЗМІНУ ЗАВЕРШЕНО", "<name> більше не на зміні."),
        Notice.NOT_ASSIGNED: ("НЕ ПРИЗНАЧЕНО СЮДИ", "<name> не має призначення на цей пункт. <why>"),
        Notice.ENROLLING: ("РЕЄСТРАЦІЯ", "Запитуємо <organiser>. Це займе мить."),
        Notice.ENROLLED: ("ЗАРЕЄСТРОВАНО", "Пристрій працює для <organiser> як <name>."),
        Notice.NOT_ENROLLED: ("НЕ ЗАРЕЄСТРОВАНО", "<why>"),
        Notice.ALREADY_ENROLLED: ("УЖЕ ЗАРЕЄСТРОВАНО", "Пристрій працює для <organiser>. Нічого не змінено."),
        Notice.SCAN_AGAIN: ("ЗІСКАНУЙТЕ ЩЕ РАЗ", "Код прочитався погано. Проскануйте його знову."),
    },
    "ru": {
        Notice.SHIFT_OPENED: ("НА СМЕНЕ", "<name> теперь работает здесь."),
        Notice.SHIFT_CLOSED: ("СМЕНА ОКОНЧЕНА", "<name> больше не на смене."),
        Notice.NOT_ASSIGNED: ("НЕ НАЗНАЧЕН СЮДА", "<name> не назначен на этот пункт. <why>"),
        Notice.ENROLLING: ("РЕГИСТРАЦИЯ", "Запрашиваем <organiser>. Это займёт мгновение."),
        Notice.ENROLLED: ("ЗАРЕГИСТРИРОВАНО", "Устройство работает для <organiser> как <name>."),
        Notice.NOT_ENROLLED: ("НЕ ЗАРЕГИСТРИРОВАНО", "<why>"),
        Notice.ALREADY_ENROLLED: ("УЖЕ ЗАРЕГИСТРИРОВАНО", "Устройство работает для <organiser>. Ничего не изменено."),
        Notice.SCAN_AGAIN: ("СКАНИРУЙТЕ ЕЩЁ РАЗ", "Код прочитался плохо. Сканируйте его снова."),
    },
}
