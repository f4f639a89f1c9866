"""How many scans a CRM is offered at once."""

import pytest

from sync.portion import Portion


def test_a_failure_halves_what_was_offered_and_a_success_doubles_it() -> None:
    portion = Portion(500)
    offered = []
    for took in (False, False, True, True, True):
        offered.append(min(portion.most, 40))  # no more are waiting
        portion.offered(offered[-1])
        if took:
            portion.settled(offered[-1])
        else:
            portion.failed()
    assert offered == [40, 20, 10, 20, 40]


def test_it_is_never_none_and_never_more_than_the_limit() -> None:
    portion = Portion(5)
    for _ in range(4):
        portion.offered(portion.most)
        portion.failed()
    assert portion.most == 1
    for _ in range(4):
        portion.offered(portion.most)
        portion.settled(portion.most)
    assert portion.most == 5


@pytest.mark.parametrize("bad", range(100))
def test_the_one_that_is_not_wanted_is_found_by_halves(bad: int) -> None:
    portion, at, requests = Portion(500), 0, 0
    while at < 100:
        count = min(portion.most, 100 - at)
        requests += 1
        portion.offered(count)
        wanted = not at <= bad < at + count
        if wanted or count == 1:
            portion.settled(count, refused=not wanted)
            at += count
        else:
            portion.refused()
    assert requests <= 22, "twice the halves of a hundred, and then all that follow, doubling"


def test_refusals_in_a_row_are_counted() -> None:
    portion = Portion(500)
    for refused, count in ((True, 1), (True, 2), (False, 0), (True, 1)):
        portion.offered(1)
        portion.settled(1, refused=refused)
        assert portion.refused_alone == count
