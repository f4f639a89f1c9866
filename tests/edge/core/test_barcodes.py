r"""Codes and lookups, against vectors made by another tool.

The vectors of `BY_OPENSSL` were made with OpenSSL 3.0.19, Perl 5's Unicode::Normalize and coreutils, each by

    printf '<code, UTF-8 as \x escapes>' | perl -CS -MUnicode::Normalize -pe '$_=NFC($_)' \
      | openssl dgst -sha256 -mac HMAC \
          -macopt hexkey:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f -binary \
      | head -c 16 | basenc --base64url | tr -d =
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.barcodes import (
    MAX_CODE_CHARS,
    is_readable,
    lookup_of,
    lookup_text,
    lookup_texts,
    normalise,
    parse_lookup,
    parse_lookups,
)

KEY = bytes(range(32))
steady = settings(derandomize=True, max_examples=200, deadline=None)

BY_OPENSSL = [
    ("T-1", "W7HTegzHmM-Dj6teZG5iaQ"),
    ("t-1", "ZlwNjTPlS2PWcrY_5zRWaA"),
    ("4820000123456", "kH8RhxpAfXnjkTRoI97gFQ"),
    ("01046200123456782112345abc", "YHFEkWNTPR1o7YPP4KWm8Q"),
    ("https://tix.example/q?c=A%2FB&s=1", "V0ROoEsu6zst2GGmkMOD8A"),
    ("A B", "8iMDfTkk6ecQ0FXk5Rki4Q"),
    ("Caf\u00e9-7", "viFkV033PQj6PkZMs4TwSg"),
    ("Cafe\u0301-7", "viFkV033PQj6PkZMs4TwSg"),
    ("КВИТОК-Ї", "axxUI8Cr1SJzyu8nS3Yb4Q"),
    ("КВИТОК-І\u0308", "axxUI8Cr1SJzyu8nS3Yb4Q"),
    ("\ud55c-9", "eJ15rbyDxnWYZ8djSUpRkQ"),
    ("\u1112\u1161\u11ab-9", "eJ15rbyDxnWYZ8djSUpRkQ"),
    ("\U0001f3ab-42", "yp_KX5OP8jww4r0cRrq9MA"),
    ("\ufffdX", "tQ-srCTHfu73Xh2uBils_g"),
    ("", "04tCCW2A9F-Ca0Sp1WB95w"),
    ("K" * 4096, "_XbPMMjxabg2LaapL-c-ew"),
]


@pytest.mark.parametrize(("code", "expected"), BY_OPENSSL, ids=lambda value: ascii(value)[:24])
def test_lookup_is_what_openssl_makes_of_the_same_code(code: str, expected: str) -> None:
    assert lookup_text(lookup_of(KEY, code)) == expected


def test_another_organisers_key_finds_nothing_of_ours() -> None:
    assert lookup_text(lookup_of(b"\xff" * 32, "T-1")) == "ZrkCHcoEj3HmPwNzkc4JCg"


@pytest.mark.parametrize(
    ("read", "means"),
    [
        pytest.param("T-1\r\n", "T-1", id="scanner ends its reads with Enter"),
        pytest.param("\tT-1\t", "T-1", id="or with Tab"),
        pytest.param("\x02T-1\x03", "T-1", id="serial scanner frames with STX and ETX"),
        pytest.param("0104\x1d2112", "01042112", id="GS1 group separator"),
        pytest.param("T\x00-1", "T-1", id="NUL in the middle"),
        pytest.param("T\x7f-1", "T-1", id="DEL"),
        pytest.param("T\x80-\x851\x9f", "T-1", id="C1, NEL among them"),
        pytest.param("T\xa01", "T\xa01", id="a space that is not a control stays inside"),
        pytest.param("\\000026T-1", "T-1", id="ECI for UTF-8"),
        pytest.param("T\\000003-\\0000261", "T-1", id="ECI in the middle, twice"),
        pytest.param("\\0000261", "1", id="an escape ends after six digits"),
        pytest.param("\\00002", "\\00002", id="five digits are no escape"),
        pytest.param("\\٠٠٠٠٢٦T", "\\٠٠٠٠٢٦T", id="nor are digits of another script"),
        pytest.param("C:\\T-1", "C:\\T-1", id="a backslash alone is part of the code"),
        pytest.param("\\000\x1d026T-1", "T-1", id="controls go before escapes"),
        pytest.param("\\000\\000026026", "\\000026", id="escapes are taken out once"),
        pytest.param("  T-1  ", "T-1", id="spaces at the ends"),
        pytest.param("\u2003\xa0T-1\u3000", "T-1", id="wide and hard spaces at the ends"),
        pytest.param("\\000026 T-1", "T-1", id="a space that an escape hid"),
        pytest.param("T  1", "T  1", id="spaces inside stay"),
        pytest.param("Cafe\u0301", "Caf\u00e9", id="decomposed accent"),
        pytest.param("\u212b", "\u00c5", id="Angstrom sign is a letter with a ring"),
        pytest.param("\ufb01\uff21", "\ufb01\uff21", id="compatibility forms are not folded"),
        pytest.param("AbCd", "AbCd", id="case kept"),
        pytest.param("İıſß", "İıſß", id="case kept beyond ASCII"),
        pytest.param("T\ud8001", "T\ufffd1", id="lone high surrogate"),
        pytest.param("\udfffT", "\ufffdT", id="lone low surrogate"),
        pytest.param("T\u200b1", "T\u200b1", id="zero-width characters are not controls"),
        pytest.param("", "", id="nothing"),
        pytest.param(" \r\n\x85\u2028\u3000", "", id="nothing but space"),
    ],
)
def test_a_read_is_normalised(read: str, means: str) -> None:
    assert normalise(read) == means


@pytest.mark.parametrize(
    ("read", "readable"),
    [
        pytest.param("T-1", True, id="a code"),
        pytest.param("0", True, id="one character"),
        pytest.param("x" * 4096, True, id="4,096 characters"),
        pytest.param("x" * 4097, False, id="4,097 characters"),
        pytest.param("x" * 4096 + "\n", False, id="4,097 with its Enter"),
        pytest.param("є" * 4096, True, id="characters are counted, not bytes"),
        pytest.param("", False, id="empty"),
        pytest.param(" \t\r\n", False, id="blank"),
        pytest.param("\xa0\u2003\u3000\u2028", False, id="blank beyond ASCII"),
        pytest.param("\x00\x1d\x7f\x9f", False, id="controls"),
        pytest.param("\u200b\u200c\u200d\u2060\ufeff", False, id="zero-width"),
        pytest.param("\u202e \u200f", False, id="bidi marks"),
        pytest.param("\\000026", False, id="an ECI escape and no data"),
        pytest.param("\u200bT", True, id="one printing character among zero-width ones"),
        pytest.param("\ud800", True, id="a lone surrogate is shown as a replacement"),
    ],
)
def test_only_what_prints_can_be_judged(read: str, readable: bool) -> None:
    assert is_readable(read) is readable


def test_the_limit_is_the_designs() -> None:
    assert MAX_CODE_CHARS == 4096


@steady
@given(st.text(alphabet=st.characters(), max_size=40))
def test_any_string_has_a_lookup_whatever_surrounds_it(code: str) -> None:
    """Surrogates, unassigned and private characters included."""
    lookup = lookup_of(KEY, code)
    assert len(lookup) == 16
    assert lookup_of(KEY, f"\x02 {code}\r\n") == lookup
    assert isinstance(is_readable(code), bool)


@steady
@given(st.text(alphabet=st.characters(exclude_characters="\\"), max_size=40))
def test_normalising_twice_changes_nothing(code: str) -> None:
    """But for backslashes: taking out one escape may leave the look of another."""
    assert normalise(normalise(code)) == normalise(code)


@steady
@given(st.binary(min_size=16, max_size=16))
def test_a_lookup_comes_back_off_the_wire(lookup: bytes) -> None:
    text = lookup_text(lookup)
    assert len(text) == 22
    assert parse_lookup(text) == lookup


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("A" * 21, id="21 characters"),
        pytest.param("A" * 23, id="23 characters"),
        pytest.param("A" * 20, id="15 bytes"),
        pytest.param("A" * 43, id="a whole SHA-256"),
        pytest.param("A" * 22 + "==", id="padded"),
        pytest.param("A" * 21 + "B", id="bits beyond the last byte"),
        pytest.param("+" * 21 + "A", id="plus: base64, not base64url"),
        pytest.param("/" * 21 + "A", id="slash: base64, not base64url"),
        pytest.param("A" * 21 + "\n", id="line feed for a character"),
        pytest.param("A" * 22 + "\n", id="line feed after"),
        pytest.param(" " + "A" * 22, id="space before"),
        pytest.param("A" * 11 + " " + "A" * 11, id="space inside"),
        pytest.param("А" * 22, id="Cyrillic look-alikes"),
        pytest.param("A" * 21 + "\ud800", id="lone surrogate"),
    ],
)
def test_a_lookup_not_written_the_one_way_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="22 characters of base64url"):
        parse_lookup(text)
    good = lookup_text(bytes(16))
    with pytest.raises(ValueError, match="22 characters of base64url"):
        parse_lookups([good, text, good])


@steady
@given(st.lists(st.binary(min_size=16, max_size=16), max_size=5))
def test_many_lookups_are_written_and_read_as_one_by_one(lookups: list[bytes]) -> None:
    texts = lookup_texts(lookups)
    assert texts == [lookup_text(lookup) for lookup in lookups]
    assert parse_lookups(texts) == lookups


def test_what_is_no_lookup_is_still_written() -> None:
    """A list that was changed by hand may hold anything."""
    assert lookup_texts([b"short", bytes(16)]) == [lookup_text(b"short"), lookup_text(bytes(16))]


@steady
@given(st.text(alphabet=st.sampled_from("ABgwQ_-+/= \n9é"), max_size=26))
def test_each_lookup_has_one_spelling(text: str) -> None:
    try:
        lookup = parse_lookup(text)
    except ValueError:
        return
    assert lookup_text(lookup) == text
