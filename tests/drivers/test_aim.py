"""AIM symbology identifiers: what a scanner says of a barcode is no part of its code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.aim import split_symbology

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("sent", "symbology", "code"),
    [
        ("]Q3T-1", "]Q3", "T-1"),  # QR with GS1 data
        ("]C1010123", "]C1", "010123"),  # GS1-128
        ("]zaT-1", "]za", "T-1"),  # a modifier may be a letter
        ("]Q3", "]Q3", ""),
        ("]Q3]Q3T-1", "]Q3", "]Q3T-1"),  # only one is the scanner's
        ("T-1]Q3", None, "T-1]Q3"),
        (" ]Q3T-1", None, " ]Q3T-1"),
        ("\n]Q3T-1", None, "\n]Q3T-1"),
        ("]3QT-1", None, "]3QT-1"),
        ("]Q-T-1", None, "]Q-T-1"),
        ("]Q\n", None, "]Q\n"),
        ("]Є3T-1", None, "]Є3T-1"),  # letters are those of ASCII
        ("]Q٣T-1", None, "]Q٣T-1"),  # and so are digits
        ("]Q", None, "]Q"),
        ("", None, ""),
    ],
)
def test_an_identifier_is_taken_off_the_start(sent: str, symbology: str | None, code: str) -> None:
    assert split_symbology(sent) == (symbology, code)


@given(st.text())
def test_any_text_is_split_and_nothing_is_lost(text: str) -> None:
    symbology, code = split_symbology(text)
    assert (symbology or "") + code == text


@given(st.sampled_from(LETTERS), st.sampled_from(LETTERS + "0123456789"), st.text())
def test_every_identifier_is_known_whatever_follows(letter: str, modifier: str, code: str) -> None:
    assert split_symbology(f"]{letter}{modifier}{code}") == (f"]{letter}{modifier}", code)
