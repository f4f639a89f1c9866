"""Which costlier step goes when; time is passed in."""

from drivers.camera.ladder import COSTLIER
from drivers.camera.turns import LOOKED_AGAIN_S, TRIED_S, Turns

FRAME_S = 1 / 30


def moving(turns: Turns, seconds: float, every_s: float = FRAME_S, start_s: float = 0.0) -> list[str | None]:
    """Return which step each frame gets while things move and nothing is found."""
    names = []
    for number in range(round(seconds / every_s)):
        at_s = start_s + number * every_s
        turns.moved(at_s)
        step = turns.next_step(at_s, found=False)
        names.append(step.name if step else None)
    return names


def test_while_things_move_every_second_frame_gets_one_and_all_have_their_turn() -> None:
    names = moving(Turns(), 0.6)
    given = [name for name in names if name]
    assert len(given) == 9
    assert given[: len(COSTLIER)] == [step.name for step in COSTLIER]
    assert None not in names[::2]


def test_on_a_slow_machine_every_frame_gets_one() -> None:
    assert None not in moving(Turns(), 1.0, every_s=0.1)


def test_once_nothing_was_found_for_long_they_grow_fewer() -> None:
    names = moving(Turns(), 3.0)
    assert sum(name is not None for name in names[-30:]) == 10


def test_a_new_scene_is_met_as_at_first() -> None:
    turns = Turns()
    moving(turns, 6.0)
    assert sum(name is not None for name in moving(turns, 0.6, start_s=6.0 + 2 * TRIED_S)) == 9


def test_what_stands_still_gets_a_step_each_frame_until_each_was_tried() -> None:
    turns = Turns()
    turns.moved(0.0)
    turns.next_step(0.0, found=False)
    tried = set()
    at_s = 0.0
    while not turns.is_at_rest(at_s := at_s + FRAME_S):
        step = turns.next_step(at_s, found=False)
        assert step is not None
        tried.add(step.name)
        assert at_s < 1
    assert len(tried) >= len(COSTLIER) - 1


def test_a_lens_that_still_finds_its_focus_is_waited_for_and_then_there_is_rest() -> None:
    turns = Turns()
    turns.moved(0.0)
    looked_at = []
    for number in range(1, 200):
        at_s = number * FRAME_S
        if not turns.is_at_rest(at_s):
            looked_at.append(at_s)
            turns.next_step(at_s, found=False)
    focusing = [at_s for at_s in looked_at if 0.5 < at_s < TRIED_S]
    later = [at_s for at_s in looked_at if at_s > TRIED_S + LOOKED_AGAIN_S]
    assert 5 <= len(focusing) <= 8
    assert 2 <= len(later) <= 5


def test_the_step_that_found_a_code_goes_at_once_and_every_second_time() -> None:
    turns = Turns()
    moving(turns, 0.5)
    lucky = COSTLIER[-1]
    turns.succeeded(lucky, 0.5)
    names = moving(turns, 0.4, start_s=0.5 + FRAME_S)
    assert None not in names
    assert names[::2] == [lucky.name] * 6
    assert None in moving(turns, 1.0, start_s=2.0)


def test_a_code_in_plain_sight_is_left_alone_until_it_may_be_a_poster() -> None:
    turns = Turns()
    given = []
    for number in range(60):
        turns.moved(number * FRAME_S)
        given.append(turns.next_step(number * FRAME_S, found=True) is not None)
    assert not any(given[:20])
    assert 9 <= sum(given[30:]) <= 11
