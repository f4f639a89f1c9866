"""What a lane says beside its verdicts: in every language, with names as they are."""

import re
from typing import get_args

import pytest

from edge.core.messages import Language
from edge.core.notices import Notice, explain_notice

LANGUAGES: tuple[Language, ...] = get_args(Language)
FACTS = {"name": "Олена Коваль", "organiser": "Палац", "why": "code: no such enrolment code; check it"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", Notice)
def test_every_notice_has_words_in_every_language(kind: Notice, language: Language) -> None:
    message = explain_notice(kind, FACTS, language)
    assert message.title == message.title.strip().upper() != ""
    assert message.text
    assert not re.search("<[a-z]+>", message.text)


@pytest.mark.parametrize("kind", Notice)
def test_no_two_languages_say_the_same(kind: Notice) -> None:
    assert len({explain_notice(kind, {}, language).title for language in LANGUAGES}) == len(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_facts_that_matter_are_told(language: Language) -> None:
    def text(kind: Notice) -> str:
        return explain_notice(kind, FACTS, language).text

    for kind in (Notice.SHIFT_OPENED, Notice.SHIFT_CLOSED, Notice.NOT_ASSIGNED):
        assert FACTS["name"] in text(kind)
    for kind in (Notice.ENROLLING, Notice.ENROLLED, Notice.ALREADY_ENROLLED):
        assert FACTS["organiser"] in text(kind)
    assert FACTS["name"] in text(Notice.ENROLLED)
    assert text(Notice.NOT_ENROLLED) == FACTS["why"]


@pytest.mark.parametrize("name", ["{0}", "{name}", "%s", "<why>", "<organiser>", "<name>", r"\1", "<b>Bold</b>"])
def test_a_name_is_shown_as_it_is_whatever_it_looks_like(name: str) -> None:
    facts = {"name": name, "organiser": name, "why": "WHY"}
    assert explain_notice(Notice.SHIFT_OPENED, facts, "en").text == f"{name} is signed in here."
    assert explain_notice(Notice.ENROLLED, facts, "en").text == f"This box now works for {name} as {name}."


def test_what_is_not_known_is_left_open_and_nothing_more() -> None:
    assert explain_notice(Notice.NOT_ASSIGNED, {}, "en").text == "? is not assigned to this checkpoint."
    assert explain_notice(Notice.NOT_ENROLLED, {}, "en").text == ""
