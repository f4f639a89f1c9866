r"""The fingerprint, against vectors made by another tool.

Each digest of `BY_B2SUM` was made with coreutils, `printf '<row, UTF-8 as \x escapes>' | b2sum -l 128`, and their sum
with `bc`: `echo 'obase=16; ibase=16; (<digests in capitals, joined by +>) % 100000000000000000000000000000000' | bc`.
"""

from functools import reduce
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.core.fingerprint import Fingerprint, row_digest

steady = settings(derandomize=True, max_examples=200, deadline=None)
Row = tuple[str, str, str, str, str | None, str | None]

BY_B2SUM: list[tuple[Row, str]] = [
    (("A" * 22, "t-1", "std", "valid", None, None), "b885dbb8090bab8ccd7f09431b85ffd0"),
    (
        ("q83vEjRWeJCrze8SNFZ4kA", "t-2", "vip", "revoked", "2026-05-01T15:00:00Z", "2026-05-01T20:00:00Z"),
        "ca8eb6a2b8c0f21948f17074fee464c8",
    ),
    (
        ("_____________________w", "t-3", "std", "unpaid", "2026-05-01T15:00:00Z", None),
        "2b8012089b634037cdafd1a358ad11a3",
    ),
    (
        ("AAECAwQFBgcICQoLDA0ODw", "квиток-4", "été", "blocked", None, "2026-05-01T20:00:00.500000Z"),
        "2e3528d70e30fdbcc78308b67235fdab",
    ),
    (("EBESExQVFhcYGRobHB0eHw", "t-5", "std", "cancelled", None, None), "f33b5d6a6864fe81b5c91723976ea823"),
]
SUM_BY_BC = "d0052aa4d3c5da1c616c6b357cbc1c09"

digests = st.integers(min_value=0, max_value=2**128 - 1)


def total_of(rows: list[int]) -> Fingerprint:
    return reduce(Fingerprint.plus, rows, Fingerprint())


@pytest.mark.parametrize(("row", "expected"), BY_B2SUM, ids=lambda value: value[1] if isinstance(value, tuple) else "")
def test_a_row_digest_is_what_b2sum_makes(row: Row, expected: str) -> None:
    assert f"{row_digest(*row):032x}" == expected


def test_a_list_is_the_sum_that_bc_makes() -> None:
    whole = total_of([row_digest(*row) for row, _ in BY_B2SUM])
    assert (whole.count, whole.hex()) == (5, SUM_BY_BC)


def test_nothing_is_all_zeros() -> None:
    assert (Fingerprint().count, Fingerprint().hex()) == (0, "0" * 32)


@pytest.mark.parametrize("field", range(6), ids=["lookup", "id", "type", "state", "valid_from", "valid_until"])
def test_a_change_in_any_field_shows(field: int) -> None:
    row: Row = BY_B2SUM[1][0]
    changed = [*row]
    changed[field] = f"{row[field]}x"
    assert row_digest(*(each or "" for each in changed)) != row_digest(*row)


def test_an_instant_is_taken_as_sent() -> None:
    """`Z` and `+00:00` are the same time and different lists: both sides digest the text, not its meaning."""
    with_z = row_digest("A" * 22, "t-1", "std", "valid", "2026-05-01T15:00:00Z", None)
    assert with_z != row_digest("A" * 22, "t-1", "std", "valid", "2026-05-01T15:00:00+00:00", None)


@steady
@given(st.lists(digests, max_size=12), st.randoms(use_true_random=False))
def test_order_does_not_matter(rows: list[int], chance: Random) -> None:
    shuffled = [*rows]
    chance.shuffle(shuffled)
    assert total_of(shuffled) == total_of(rows)


@steady
@given(st.lists(digests, max_size=12), digests)
def test_a_row_that_goes_undoes_a_row_that_came(rows: list[int], row: int) -> None:
    before = total_of(rows)
    assert before.plus(row).minus(row) == before
    assert before.minus(row).plus(row) == before


@steady
@given(st.lists(digests, min_size=1, max_size=12), digests)
def test_a_changed_row_is_one_out_and_one_in(rows: list[int], new: int) -> None:
    assert total_of(rows).minus(rows[0]).plus(new) == total_of([*rows[1:], new])


@steady
@given(st.lists(digests, max_size=12))
def test_it_stays_32_hex_digits_and_comes_back_off_the_wire(rows: list[int]) -> None:
    held = total_of(rows)
    assert len(held.hex()) == 32
    assert Fingerprint.parse(held.count, held.hex()) == held


def test_a_store_that_never_held_a_list_may_say_just_0() -> None:
    assert Fingerprint.parse(0, "0") == Fingerprint()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 33,
        "g" * 32,
        "0x" + "0" * 30,
        "-" + "1" * 31,
        " " + "1" * 31,
        "1_" * 16,
        "A" * 32,
        "١" * 32,
    ],
    ids=ascii,
)
def test_what_is_not_lower_case_hex_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 lower-case hex digits"):
        Fingerprint.parse(1, text)
