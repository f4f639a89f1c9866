"""Lines of a GPIO chip, through libgpiod 2 and the kernel's character device.

Source: libgpiod 2.x, Python bindings; linux/gpio.h.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from drivers.discovery import RULES_MEND
from drivers.guarding import GpioGuard
from drivers.protocols import Again, DeviceLost, DeviceRefused

if TYPE_CHECKING:
    from gpiod import Chip, LineRequest, LineSettings

    Config = dict[Iterable[int | str] | int | str, LineSettings | None]

CONSUMER = "brama"
"""Under this name the kernel shows our lines to others."""
THE_KERNEL = "the kernel"
"""Who uses a line that is used under no name."""
Bias = Literal["as_is", "disabled", "pull_up", "pull_down"]


@dataclass(frozen=True, slots=True)
class LineName:
    """One line of a chip: its offset, or its name; and how it is wired."""

    line: int | str
    active_low: bool = False
    bias: Bias = "as_is"
    debounce_ms: int = 0


@dataclass(frozen=True, slots=True)
class DescribedLine:
    """One line as the kernel shows it. `name` and `user` are None where it has none; `user` is `CONSUMER` if ours."""

    offset: int
    name: str | None
    user: str | None


@dataclass(frozen=True, slots=True)
class DescribedChip:
    """One chip as it is now; `lines` are all that it has, by offset."""

    path: str
    label: str
    lines: tuple[DescribedLine, ...]

    def line(self, line: int | str) -> DescribedLine | None:
        """Find a line as a claim would: by offset, by name, or by an offset written as text; None: there is none."""
        if isinstance(line, str) and (named := next((each for each in self.lines if each.name == line), None)):
            return named
        try:
            offset = int(line)
        except ValueError:
            return None
        return self.lines[offset] if 0 <= offset < len(self.lines) else None


class Lines:
    """Claimed lines of one chip. Outputs come first in the request, in the order given."""

    def __init__(self, request: "LineRequest", outputs: Mapping[str, int], inputs: Mapping[str, int]) -> None:
        self._request = request
        self._outputs = outputs
        self._inputs = inputs
        self._bits = {name: 1 << number for number, name in enumerate(outputs)}
        self.safe = dict.fromkeys(outputs, False)
        """The level of each output once the claim ends: active, where a fire holds it open."""

    @property
    def descriptor(self) -> int:
        """The request's file descriptor: readable when an input has changed."""
        return self._request.fd

    def mask(self, *names: str) -> int:
        """Return the bits of outputs, as the kernel counts them in this request."""
        return sum(self._bits[name] for name in names)

    def put(self, **levels: bool) -> None:
        """Set outputs active or inactive, all at once."""
        from gpiod.line import Value

        wanted: dict[int | str, Value] = {
            self._outputs[name]: Value.ACTIVE if on else Value.INACTIVE for name, on in levels.items()
        }
        self._request.set_values(wanted)

    def is_active(self, name: str) -> bool:
        """Read an input."""
        from gpiod.line import Value

        return self._request.get_value(self._inputs[name]) is Value.ACTIVE

    def risen(self) -> set[str]:
        """Take up what has happened since; return the inputs that became active meanwhile."""
        from gpiod import EdgeEvent

        names = {offset: name for name, offset in self._inputs.items()}
        events = self._request.read_edge_events()
        return {names[each.line_offset] for each in events if each.event_type is EdgeEvent.Type.RISING_EDGE}


@contextmanager
def claimed(
    chip: str,
    outputs: Mapping[str, LineName],
    inputs: Mapping[str, LineName],
    guard: GpioGuard,
    key: str,
    again: Again,
) -> Iterator[Lines]:
    """Claim lines of a chip, the outputs inactive; whenever this ends they are made safe, which is inactive again.

    The guard makes the outputs safe where this process cannot, under `key`.

    Raises:
        DeviceLost: no such chip, a line is in use by another program, or the outputs could not be made safe.
        DeviceRefused: no permission, no such line, or gpiod is not installed.
    """
    with _opened(chip, again) as opened:
        found_outputs = {name: _offset(opened, chip, line, again) for name, line in outputs.items()}
        found_inputs = {name: _offset(opened, chip, line, again) for name, line in inputs.items()}
        config: Config = {found_outputs[name]: _output(line) for name, line in outputs.items()}
        config |= {found_inputs[name]: _input(line) for name, line in inputs.items()}
        if len(config) < len(outputs) + len(inputs):
            raise DeviceRefused(f"{chip}: the settings give one line two uses; give each its own", again)
        try:
            request = opened.request_lines(config, consumer=CONSUMER)
        except OSError as exc:
            raise _translated(opened, chip, [*found_outputs.values(), *found_inputs.values()], exc, again) from exc
        with request:
            lines = Lines(request, found_outputs, found_inputs)
            guard.hold(key, lines.descriptor, lines.mask(*outputs), 0)
            try:
                yield lines
            finally:
                try:
                    lines.put(**lines.safe)
                except OSError as exc:
                    raise DeviceLost(f"{chip}: {exc.strerror}; see to it that its outputs are off", again) from exc
                finally:
                    guard.drop(key)


@contextmanager
def _opened(chip: str, again: Again | None) -> "Iterator[Chip]":
    try:
        import gpiod
    except ModuleNotFoundError as exc:
        raise DeviceRefused("gpiod is not installed; pip install 'brama[gpio]'") from exc
    path = chip_path(chip)
    if path is None:
        raise DeviceLost(f"{chip}: no such GPIO chip; see brama devices for those that are", again)
    try:
        opened = gpiod.Chip(path)
    except PermissionError as exc:
        raise DeviceRefused(f"{path}: no permission; {RULES_MEND}", again) from exc
    except OSError as exc:
        if exc.errno in {errno.ENOTTY, errno.EINVAL, errno.ENODEV}:
            raise DeviceRefused(f"{path}: not a GPIO chip; see brama devices for those that are", again) from exc
        raise DeviceLost(f"{path}: {exc.strerror}", again) from exc
    with opened:
        yield opened


def describe_chip(chip: str) -> DescribedChip:
    """Look at a chip that is named as settings name it, and claim nothing.

    Raises:
        DeviceLost: no such chip, or it went.
        DeviceRefused: no permission, not a chip, or gpiod is not installed.
    """
    with _opened(chip, None) as opened:
        try:
            about = opened.get_info()
            lines = [opened.get_line_info(offset) for offset in range(about.num_lines)]
        except OSError as exc:
            raise DeviceLost(f"{chip}: {exc.strerror}; see brama devices for those that are") from exc
        described = [
            DescribedLine(each.offset, each.name or None, (each.consumer or THE_KERNEL) if each.used else None)
            for each in lines
        ]
        return DescribedChip(opened.path, about.label, tuple(described))


def chip_path(chip: str) -> str | None:
    """Return the node of a chip that is named by its node, its name or its label; None: there is none."""
    import gpiod

    if chip.startswith("/"):
        return chip if Path(chip).exists() else None
    for path in chip_paths():
        try:
            with gpiod.Chip(path) as each:
                info = each.get_info()
        except OSError:
            continue
        if chip in {info.name, info.label}:
            return path
    return None


def chip_paths() -> list[str]:
    """Return the nodes of all chips."""
    return sorted(str(path) for path in Path("/dev").glob("gpiochip*"))


def _offset(chip: "Chip", name: str, line: LineName, again: Again) -> int:
    """Find a line on its chip."""
    try:
        offset = chip.line_offset_from_id(line.line)
        chip.get_line_info(offset)
    except (OSError, ValueError) as exc:
        many = chip.get_info().num_lines
        raise DeviceRefused(f"{name}: no line {line.line}; it has {many}: gpioinfo names them", again) from exc
    return offset


def _output(line: LineName) -> "LineSettings":
    from gpiod import LineSettings
    from gpiod.line import Direction, Value

    return LineSettings(direction=Direction.OUTPUT, output_value=Value.INACTIVE, active_low=line.active_low)


def _input(line: LineName) -> "LineSettings":
    from gpiod import LineSettings
    from gpiod.line import Bias as LineBias
    from gpiod.line import Direction, Edge

    return LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edge.BOTH,
        active_low=line.active_low,
        bias=LineBias[line.bias.upper()],
        debounce_period=timedelta(milliseconds=line.debounce_ms),
    )


def _translated(
    chip: "Chip", name: str, offsets: Iterable[int], exc: OSError, again: Again
) -> DeviceLost | DeviceRefused:
    if exc.errno != errno.EBUSY:
        return DeviceRefused(f"{name}: the kernel does not give these lines ({exc.strerror}); check them", again)
    infos = [chip.get_line_info(offset) for offset in offsets]
    taken = ", ".join(f"line {each.offset} by {each.consumer or THE_KERNEL}" for each in infos if each.used)
    return DeviceLost(f"{name}: in use: {taken or exc.strerror}; stop that program, or name another line")
