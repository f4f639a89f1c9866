"""Turnstiles and lamps on GPIO lines: what is on goes off, whatever happens, and what is missing is said."""

import asyncio
import errno
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path

import pytest

from drivers.discovery import RULES_MEND
from drivers.gpio_lines import DescribedLine, LineName, Lines, claimed, describe_chip
from drivers.guard import LineGuard
from drivers.hotplug import Hotplug
from drivers.lights_gpio import GpioLights
from drivers.protocols import DeviceLost, DeviceRefused, Look, Signals
from drivers.turnstile_gpio import GpioTurnstile, TurnstileLines
from tests.drivers.relays import LONG_MS, TIMEOUT_S

gpiod = pytest.importorskip("gpiod")

from tests.drivers.board import Board, opener  # noqa: E402 (it needs gpiod)

ROOT = Path(__file__).parents[2]
RELEASE, PASSAGE, FAULT, HELD_OPEN = 3, 4, 5, 6
GREEN, RED, BUZZER = 0, 1, 2
LAMPS = {"green": LineName(GREEN), "red": LineName(RED), "buzzer": LineName(BUZZER)}


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    with closing(Board()) as made:
        monkeypatch.setattr(gpiod, "Chip", opener(made))
        yield made


@pytest.fixture
async def guard() -> AsyncIterator[LineGuard]:
    made = LineGuard()
    running = asyncio.create_task(made.run(), name="line guard")
    yield made
    running.cancel()
    await asyncio.wait([running])


async def never() -> None:
    """What a failure waits for here: nothing."""


def claim(chip: str, *outputs: int | str, inputs: tuple[int, ...] = ()) -> None:
    """Claim lines for a moment."""
    named = {f"output {line}": LineName(line) for line in outputs}
    with claimed(chip, named, {f"input {line}": LineName(line) for line in inputs}, LineGuard(), "key", never):
        pass


def a_turnstile(guard: LineGuard, pulse_ms: int = 1) -> GpioTurnstile:
    lines = TurnstileLines("/dev/null", LineName(RELEASE), LineName(PASSAGE), LineName(FAULT), LineName(HELD_OPEN))
    return GpioTurnstile(lines, pulse_ms, 8.0, guard, Hotplug())


class Follower:
    """Follows a turnstile's signals as its lane does."""

    def __init__(self, turnstile: GpioTurnstile) -> None:
        self._turnstile = turnstile
        self._told: asyncio.Queue[Signals] = asyncio.Queue()
        self.failure: DeviceLost | None = None

    async def run(self) -> None:
        try:
            async with aclosing(self._turnstile.signals()) as signals:
                async for each in signals:
                    self._told.put_nowait(each)
        except DeviceLost as exc:
            self.failure = exc

    async def next(self) -> Signals:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._told.get()


@asynccontextmanager
async def following(turnstile: GpioTurnstile) -> AsyncIterator[Follower]:
    follower = Follower(turnstile)
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as group:
        task = group.create_task(follower.run(), name="signals")
        yield follower
        task.cancel()


async def test_a_guest_is_let_through_and_seen_to_pass(board: Board, guard: LineGuard) -> None:
    turnstile = a_turnstile(guard)
    assert turnstile.passage_timeout_s == 8.0
    async with following(turnstile) as follower:
        assert await follower.next() == Signals()
        assert board.taken == dict.fromkeys((RELEASE, PASSAGE, FAULT, HELD_OPEN), "brama")
        for _ in range(2):
            await turnstile.release()
            passing = asyncio.create_task(turnstile.passed(), name="passed")
            await asyncio.sleep(0)
            assert not passing.done()
            board.contact(PASSAGE, closed=True)
            await passing
            board.contact(PASSAGE, closed=False)
    assert board.history == [(RELEASE, False), *[(RELEASE, True), (RELEASE, False)] * 2]
    assert board.taken == {}


async def test_what_its_contacts_say_is_told(board: Board, guard: LineGuard) -> None:
    board.contacts[FAULT] = True
    async with following(a_turnstile(guard)) as follower:
        assert await follower.next() == Signals(fault=True)
        board.contact(FAULT, closed=False)
        assert await follower.next() == Signals()


async def test_a_fire_holds_it_open_and_a_release_changes_nothing(board: Board, guard: LineGuard) -> None:
    turnstile = a_turnstile(guard)
    async with following(turnstile) as follower:
        assert await follower.next() == Signals()
        board.contact(HELD_OPEN, closed=True)
        assert await follower.next() == Signals(held_open=True)
        await turnstile.release()
        assert board.levels[RELEASE] is True
        board.contact(HELD_OPEN, closed=False)
        assert await follower.next() == Signals()
        assert board.levels[RELEASE] is False


async def test_a_fire_in_mid_pulse_is_not_cut_short_by_it(board: Board, guard: LineGuard) -> None:
    turnstile = a_turnstile(guard, LONG_MS)
    async with following(turnstile) as follower:
        await follower.next()
        releasing = asyncio.create_task(turnstile.release(), name="release")
        await asyncio.sleep(0)
        board.contact(HELD_OPEN, closed=True)
        assert await follower.next() == Signals(held_open=True)
        releasing.cancel()
        await asyncio.wait([releasing])
        assert board.levels[RELEASE] is True


@pytest.mark.parametrize("fire", [False, True])
async def test_a_lane_that_ends_leaves_open_only_what_a_fire_opened(
    board: Board, guard: LineGuard, *, fire: bool
) -> None:
    board.contacts[HELD_OPEN] = fire
    turnstile = a_turnstile(guard, LONG_MS)
    async with following(turnstile) as follower:
        assert await follower.next() == Signals(held_open=fire)
        releasing = asyncio.create_task(turnstile.release(), name="release")
        await asyncio.sleep(0)
        assert board.levels[RELEASE] is True
    assert board.levels[RELEASE] is fire
    releasing.cancel()
    await asyncio.wait([releasing])
    assert board.levels[RELEASE] is fire
    with pytest.raises(DeviceLost, match="not claimed"):
        await turnstile.release()


async def test_a_release_that_is_cancelled_is_undone(board: Board, guard: LineGuard) -> None:
    turnstile = a_turnstile(guard, LONG_MS)
    async with following(turnstile) as follower:
        await follower.next()
        releasing = asyncio.create_task(turnstile.release(), name="release")
        await asyncio.sleep(0)
        assert board.levels[RELEASE] is True
        releasing.cancel()
        await asyncio.wait([releasing])
        assert releasing.cancelled()
        assert board.levels[RELEASE] is False


async def test_a_chip_that_is_unplugged_is_lost(board: Board, guard: LineGuard) -> None:
    turnstile = a_turnstile(guard)
    async with following(turnstile) as follower:
        await follower.next()
        board.unplug()
        with pytest.raises(DeviceLost, match="No such device"):
            await turnstile.release()
    assert follower.failure is not None
    assert follower.failure.again is not None
    assert "No such device; see to it that its outputs are off" in str(follower.failure)


async def test_a_lamp_says_the_newest_look_and_is_dark_in_the_end(board: Board, guard: LineGuard) -> None:
    lights = GpioLights("/dev/null", LAMPS, guard, Hotplug())
    playing = asyncio.create_task(lights.run(), name="lights")
    async with asyncio.timeout(TIMEOUT_S):
        await guard.ready()
        await asyncio.sleep(0)
        for look, lit in ((Look.HELD_OPEN, {GREEN, BUZZER}), (Look.REFUSED, {RED, BUZZER}), (Look.DARK, set())):
            lights.show(look)
            while {offset for offset, on in board.levels.items() if on} != lit:
                await asyncio.sleep(0)
    lights.show(Look.HELD_OPEN)
    playing.cancel()
    await asyncio.wait([playing])
    assert board.levels == {GREEN: False, RED: False, BUZZER: False}


@pytest.mark.parametrize(("look", "lit"), [(Look.ADMITTED, False), (Look.HELD_OPEN, True)])
async def test_no_verdict_is_shown_to_whoever_comes_after_the_lamps_were_away(
    board: Board, guard: LineGuard, look: Look, *, lit: bool
) -> None:
    lights = GpioLights("/dev/null", LAMPS, guard, Hotplug())
    lights.show(look)
    playing = asyncio.create_task(lights.run(), name="lights")
    async with asyncio.timeout(TIMEOUT_S):
        await guard.ready()
        while not board.taken:
            await asyncio.sleep(0)
    assert board.levels[GREEN] is lit
    playing.cancel()
    await asyncio.wait([playing])


async def test_lamps_that_are_unplugged_are_lost(board: Board, guard: LineGuard) -> None:
    lights = GpioLights("/dev/null", LAMPS, guard, Hotplug())
    playing = asyncio.create_task(lights.run(), name="lights")
    async with asyncio.timeout(TIMEOUT_S):
        while not board.taken:
            await asyncio.sleep(0)
        board.unplug()
        lights.show(Look.REFUSED)
        with pytest.raises(DeviceLost, match="No such device"):
            await playing


def test_lines_that_cannot_be_claimed_are_named_with_the_mend(board: Board) -> None:
    board.taken[2] = "heartbeat"
    with pytest.raises(DeviceLost, match=r"^/dev/null: in use: line 2 by heartbeat; stop that program, or") as lost:
        claim("/dev/null", 1, inputs=(2,))
    assert lost.value.again is None
    for lines in ((1, 8), (1, "GPIO17")):
        with pytest.raises(DeviceRefused, match=f"^/dev/null: no line {lines[1]}; it has 8: gpioinfo names them"):
            claim("/dev/null", *lines)
    with pytest.raises(DeviceRefused, match=r"^/dev/null: the settings give one line two uses"):
        claim("/dev/null", 1, inputs=(1,))
    assert board.taken == {2: "heartbeat"}


def test_outputs_are_told_by_their_place_in_the_request(board: Board) -> None:
    with claimed("/dev/null", LAMPS, {"passage": LineName(7)}, LineGuard(), "key", never) as lines:
        assert isinstance(lines, Lines)
        assert lines.mask("green") == 0b001
        assert lines.mask("green", "buzzer") == 0b101
        lines.put(green=True, buzzer=True)
        assert board.levels == {GREEN: True, RED: False, BUZZER: True}
    assert board.levels == {GREEN: False, RED: False, BUZZER: False}


def test_a_chip_that_is_not_there_is_lost(tmp_path: Path) -> None:
    for chip in (str(tmp_path / "gpiochip9"), "pinctrl-of-no-box"):
        with pytest.raises(DeviceLost, match=f"^{chip}: no such GPIO chip; see brama devices") as lost:
            claim(chip, 1)
        assert lost.value.again is never


@pytest.mark.parametrize("path", ["/dev/null", "/dev", "/etc/passwd"])
def test_what_is_no_chip_is_refused(path: str) -> None:
    with pytest.raises(DeviceRefused, match=f"^{path}: not a GPIO chip; see brama devices") as refused:
        claim(path, 1)
    assert refused.value.again is never


def test_a_chip_is_described_with_who_uses_what(board: Board) -> None:
    board.names |= {2: "GPIO17", 3: "0", 4: "GPIO17"}
    board.taken |= {2: "brama", 5: "", 6: "heartbeat"}
    chip = describe_chip("/dev/null")
    assert (chip.path, chip.label, len(chip.lines)) == ("/dev/gpiochip0", "board", 8)
    assert {each.offset: each.name for each in chip.lines if each.name} == board.names
    assert {each.offset: each.user for each in chip.lines if each.user} == {
        2: "brama",
        5: "the kernel",
        6: "heartbeat",
    }
    assert chip.line(2) == chip.line("GPIO17") == DescribedLine(2, "GPIO17", "brama")
    assert chip.line("7") == chip.line(7) == DescribedLine(7, None, None)
    assert chip.line("0") == DescribedLine(3, "0", None)
    for unknown in (8, -1, "8", "GPIO99", ""):
        assert chip.line(unknown) is None


def test_a_chip_that_goes_while_it_is_looked_at_is_lost(board: Board) -> None:
    board.unplug()
    with pytest.raises(DeviceLost, match=r"^/dev/null: No such device; see brama devices"):
        describe_chip("/dev/null")


@pytest.mark.parametrize("path", ["/dev/null", "/dev", "/etc/passwd"])
def test_what_is_no_chip_is_not_described(path: str) -> None:
    with pytest.raises(DeviceRefused, match=f"^{path}: not a GPIO chip; see brama devices"):
        describe_chip(path)


def test_a_chip_that_one_may_not_open_is_refused_with_a_mend_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(gpiod, "Chip", refuse)
    with pytest.raises(DeviceRefused) as refused:
        describe_chip("/dev/null")
    assert str(refused.value) == f"/dev/null: no permission; {RULES_MEND}"
    assert (ROOT / RULES_MEND.split()[1]).is_file()


def test_without_gpiod_its_installation_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(DeviceRefused, match=r"pip install 'brama\[gpio\]'"):
        describe_chip("/dev/gpiochip0")
    with pytest.raises(DeviceRefused, match=r"pip install 'brama\[gpio\]'"):
        claim("/dev/gpiochip0", 1)
