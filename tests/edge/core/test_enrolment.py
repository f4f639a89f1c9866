"""Enrolment codes: what a CRM shows is understood however it is read, and nothing else is taken for one."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.core.enrolment import MOST_CHARS, EnrolmentCode, enrolment_of, names_a_host
from sync.wire import DeviceModel, EnrolRequest
from sync.wire import EnrolmentCode as ShownCode

CODE = "ABCD-EFGH-JKMN"


def shown(url: Any = "https://crm.example", code: Any = CODE, version: Any = 1, **more: Any) -> str:
    return json.dumps({"brama": version, "url": url, "code": code, **more})


# --- what a CRM shows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://crm.example",
        "http://192.168.1.5:8090",
        "http://[fd00::5]:8090/palace/",
        "https://квитки.укр/а",
        "http://crm_1",
        "https://crm.example:443/a/b",
    ],
)
def test_what_the_central_shows_is_understood(url: str) -> None:
    assert enrolment_of(ShownCode(url=url, code=CODE).model_dump_json()) == EnrolmentCode(url, CODE)


@pytest.mark.parametrize("wrapped", ["{}\r\n", "  {}\t", "\x1d{}", "\x02{}\x03", r"\000026{}"], ids=ascii)
def test_code_is_understood_however_the_reader_wraps_it(wrapped: str) -> None:
    assert enrolment_of(wrapped.replace("{}", shown())) == EnrolmentCode("https://crm.example", CODE)


def test_fields_of_a_later_version_do_not_disturb() -> None:
    assert enrolment_of(shown(organiser="Палац", expires="2026-05-01")) == EnrolmentCode("https://crm.example", CODE)
    assert enrolment_of(json.dumps(json.loads(shown()), indent=2)) == EnrolmentCode("https://crm.example", CODE)


# --- what is none ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "T-1",
        "brama",
        '"brama"',
        '["brama"]',
        '{"brama"}',
        '{"brama":1}',
        shown(version=2),
        shown(version="1"),
        shown(version=None),
        shown(url=None),
        shown(url=7),
        shown(url=["https://crm.example"]),
        shown(url="crm.example"),
        shown(url="ftp://crm.example"),
        shown(url="https://"),
        shown(url="https://crm.example?a=1"),
        shown(url="https://crm.example#a"),
        shown(url="https://crm example"),
        shown(url="https://crm.example\n"),
        shown(url="javascript:alert(1)//https://x"),
        shown(code=None),
        shown(code=12),
        shown(code=""),
        shown(code="x" * 201),
        shown() + "x",
        shown()[:-1],
        shown(more="x" * MOST_CHARS),
    ],
    ids=lambda text: text[:60],
)
def test_nothing_else_is_one(text: str) -> None:
    assert enrolment_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        shown(url="http://\ud800"),
        shown(url="http://a\u200b.example"),
        shown(url="http://crm.example:99999"),
        shown(url="http://crm.example:0"),
        shown(url="http://crm.example:8o"),
        shown(url="http://["),
        shown(url="http://:80"),
        shown(url="http://a..b"),
        shown(url="http://" + "a" * 64),
        shown(url="http://crm.example/\x1b[2J"),
        shown(code="\ud800"),
        shown(code="A\x00B"),
        shown(code="A\u2028B"),
    ],
    ids=ascii,
)
def test_what_no_request_could_carry_is_none(text: str) -> None:
    assert enrolment_of(text) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"brama":1,"a":' + "[" * 990 + "]" * 990 + "}",
        '{"brama":1,"a":' + "[" * 1900,
        '{"brama":1,"a":' * 120,
        '{"brama":' + "9" * 1900 + "}",
        '{"brama":1e999,"url":"http://x","code":"x"}',
        '{"brama":NaN,"url":"http://x","code":"x"}',
        '{"brama":-Infinity,"url":"http://x","code":"x"}',
        '{"brama":1,"url":"http://x","code":"\\ud83d"}',
        '{"brama":1,"url":"http://x","code":"\ud83d"}',
        '{"brama":1,"brama":2,"url":"http://x","code":"x"}',
        '"brama"' * 280,
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_hostile_json_is_no_code_and_does_no_harm(text: str) -> None:
    found = enrolment_of(text)
    assert found is None or found.code == "\ufffd"


# --- whatever is read -----------------------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(codec=None))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
URLS = st.sampled_from(["http", "https", "HTTP", "ftp"]).flatmap(
    lambda scheme: ANY_TEXT.map(lambda rest: f"{scheme}://{rest}")
)


@given(
    st.fixed_dictionaries(
        {"brama": st.just(1) | JSON, "url": URLS | JSON, "code": ANY_TEXT | JSON}, optional={"more": JSON}
    ),
    st.booleans(),
)
@example({"brama": 1, "url": "https://crm.example", "code": "\ud800"}, True)
def test_whatever_is_read_is_either_no_code_or_one_that_can_be_asked_for(fields: Any, escaped: bool) -> None:
    found = enrolment_of(json.dumps(fields, ensure_ascii=escaped))
    if found is not None:
        request = EnrolRequest(code=found.code, device=DeviceModel(name="North 1"))
        assert json.dumps(request.model_dump(mode="json"), ensure_ascii=False).encode()
        assert found.url.encode().isascii() or found.url.isprintable()
        assert names_a_host(found.url)


@given(ANY_TEXT.map(lambda text: f'{{"brama"{text}') | ANY_TEXT | JSON.map(json.dumps))
def test_whatever_is_read_is_judged(text: str) -> None:
    found = enrolment_of(text)
    assert found is None or (found.url.startswith("http") and found.code)


@given(
    st.text(st.characters(categories=["L", "N", "P"], exclude_characters="\\"), min_size=1, max_size=200),
    st.integers(1, 65535),
)
def test_every_code_that_prints_is_understood(code: str, port: int) -> None:
    url = f"https://crm.example:{port}/gate"
    assert enrolment_of(json.dumps({"brama": 1, "url": url, "code": code})) == EnrolmentCode(url, code)
