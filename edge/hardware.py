"""Builds what the settings name of hardware. A driver's library is loaded only where its driver is."""

from collections.abc import Awaitable, Callable, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING

from config.hardware import (
    CameraReader,
    EvdevReader,
    FakeTurnstile,
    GpioLights,
    GpioTurnstile,
    HidrawReader,
    HttpTurnstile,
    LineSettings,
    ModbusTurnstile,
    ReaderSettings,
    SerialReader,
    TerminalReader,
)
from config.settings import LaneSettings
from drivers.discovery import Wanted
from drivers.protocols import Clock, Lights, Scanner, Turnstile

if TYPE_CHECKING:
    from drivers.camera.messages import Task
    from drivers.gpio_lines import LineName
    from drivers.guard import LineGuard
    from drivers.hotplug import Hotplug
    from drivers.scanner_camera import CameraScanner

Job = Callable[[], Awaitable[None]]


class Hardware:
    """One box's hardware: what all its drivers share, and how each is made."""

    def __init__(self, lanes: Iterable[LaneSettings], clock: Clock) -> None:
        self._clock = clock
        readers = [reader for lane in lanes for reader in lane.readers if not isinstance(reader, TerminalReader)]
        self._paths = [reader.device for reader in readers if reader.device]
        self._paths += [reader.folder for reader in readers if isinstance(reader, CameraReader) and reader.folder]
        self._shared: dict[str, Job] = {}

    @cached_property
    def hotplug(self) -> "Hotplug":
        """What tells of devices that come and go; made when the first driver asks for it."""
        from drivers.hotplug import Hotplug

        made = Hotplug(self._paths)
        self._shared["hot-plug"] = made.run
        return made

    @cached_property
    def guard(self) -> "LineGuard":
        """What makes outputs safe when the gate cannot; made when the first driver asks for it."""
        from drivers.guard import LineGuard

        made = LineGuard()
        self._shared["line guard"] = made.run
        return made

    @property
    def jobs(self) -> dict[str, Job]:
        """What must run for the drivers that were made."""
        return dict(self._shared)

    def scanner(self, reader: ReaderSettings) -> Scanner:
        """Build a reader."""
        match reader:
            case TerminalReader():
                from drivers.scanner_terminal import TerminalScanner

                return TerminalScanner(self._clock)
            case SerialReader():
                from drivers.scanner_serial import SerialLine, SerialScanner

                line = SerialLine(
                    reader.baud, reader.bits, reader.parity[0].upper(), reader.stop_bits, xonxoff=reader.xonxoff
                )
                return SerialScanner(wanted(reader), line, self._clock, self.hotplug)
            case EvdevReader():
                from drivers.keymaps import LAYOUTS
                from drivers.scanner_evdev import EvdevScanner
                from drivers.wedge_decoder import WedgeDecoder

                decoder = partial(
                    WedgeDecoder,
                    LAYOUTS[reader.layout],
                    prefix=reader.prefix,
                    suffix=reader.suffix,
                    gap_s=reader.gap_ms / 1000,
                    max_chars=reader.max_length,
                )
                return EvdevScanner(
                    wanted(reader), lambda caps_lock: decoder(caps_lock=caps_lock), self._clock, self.hotplug
                )
            case HidrawReader():
                from drivers.scanner_hidraw import HidrawScanner

                return HidrawScanner(wanted(reader), self._clock, self.hotplug)
            case CameraReader():
                return self.camera(reader)

    def camera(self, reader: CameraReader) -> "CameraScanner":
        """Build a reader that has a picture."""
        from drivers.scanner_camera import CameraScanner

        return CameraScanner(task_of(reader), self._clock, self.hotplug, wanted(reader) if reader.is_plugged else None)

    def turnstile(self, lane: LaneSettings) -> Turnstile | None:
        """Build a lane's turnstile; None: it has none."""
        match chosen := lane.turnstile:
            case None:
                return None
            case FakeTurnstile():
                from drivers.turnstile_fake import FakeTurnstile as Imagined

                timeout_s = chosen.passage_timeout_s if chosen.sensor else None
                return Imagined(chosen.passes_after_s if chosen.passes else None, timeout_s)
            case GpioTurnstile():
                return self._gpio_turnstile(chosen)
            case HttpTurnstile():
                from drivers.turnstile_http import HttpCall
                from drivers.turnstile_http import HttpTurnstile as Relay

                facts = {"lane": lane.id, "pulse_ms": f"{chosen.pulse_ms}", "pulse_s": f"{chosen.pulse_ms / 1000:g}"}
                on = HttpCall(**chosen.on.filled(facts))
                off = HttpCall(**chosen.off.filled(facts)) if chosen.off else None
                return Relay(on, off, chosen.pulse_ms, chosen.timeout_s, self.guard)
            case ModbusTurnstile():
                from drivers.turnstile_modbus import ModbusTurnstile as Coil

                return Coil(**chosen.model_dump(exclude={"driver"}), guard=self.guard)

    def _gpio_turnstile(self, chosen: GpioTurnstile) -> Turnstile:
        from drivers.turnstile_gpio import GpioTurnstile as Relay
        from drivers.turnstile_gpio import TurnstileLines

        lines = TurnstileLines(
            chosen.chip,
            _line(chosen.release_line),
            _line(chosen.passage_line) if chosen.passage_line else None,
            _line(chosen.fault_line) if chosen.fault_line else None,
            _line(chosen.open_line) if chosen.open_line else None,
        )
        return Relay(lines, chosen.pulse_ms, chosen.passage_timeout_s, self.guard, self.hotplug)

    def lights(self, chosen: GpioLights | None) -> Lights | None:
        """Build a lane's lamps and buzzer; None: it has none."""
        if chosen is None:
            return None
        from drivers.lights_gpio import GpioLights as Lamps

        named = {"green": chosen.green_line, "red": chosen.red_line, "buzzer": chosen.buzzer_line}
        lines = {name: _line(line) for name, line in named.items() if line is not None}
        return Lamps(chosen.chip, lines, self.guard, self.hotplug)


def wanted(reader: SerialReader | EvdevReader | HidrawReader | CameraReader) -> Wanted:
    """Return which device the settings mean."""
    return Wanted(reader.device, reader.usb, reader.serial, reader.port)


def device_name(reader: ReaderSettings) -> str:
    """Name a reader's device for people, without any password."""
    match reader:
        case TerminalReader():
            return "stdin"
        case CameraReader() if not reader.is_plugged:
            return reader.shown
        case _:
            return str(wanted(reader))


def task_of(reader: CameraReader) -> "Task":
    """Return what a camera's process is to do; a path that the settings do not name is found when it is opened."""
    from drivers.camera.messages import Stills, Stream, Task, VideoDevice

    source: Stills | Stream | VideoDevice
    if reader.url is not None:
        source = Stream(reader.url, reader.shown)
    elif reader.folder is not None:
        source = Stills((reader.folder,), follow=True)
    else:
        source = VideoDevice(reader.device or "", reader.width, reader.height, reader.fps, reader.exposure_ms)
    return Task(
        source=source,
        symbologies=reader.symbologies,
        region=reader.region,
        rotate=reader.rotate,
        mirror=reader.mirror,
        all_codes=reader.codes == "all",
        keeps_pictures=reader.keep_refused_h > 0,
    )


def _line(line: LineSettings) -> "LineName":
    from drivers.gpio_lines import LineName

    return LineName(line.line, line.active_low, line.bias, line.debounce_ms)
