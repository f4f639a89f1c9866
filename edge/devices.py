"""`brama devices`: what is connected, how the settings name it, and what a chosen scanner sends."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from importlib.util import find_spec

from pydantic import ValidationError

from config.hardware import CameraReader, EvdevReader, HidrawReader, SerialReader
from config.settings import BadSettings
from drivers.discovery import Found, find_cameras, find_hid_pos, find_keyboards, find_serial_ports
from drivers.protocols import DeviceLost, DeviceRefused, Read, Spoiled
from edge.clock import GateClock
from edge.hardware import Hardware
from edge.visible import visible

Reader = CameraReader | EvdevReader | HidrawReader | SerialReader

KINDS: dict[str, tuple[str, Callable[[], list[Found]]]] = {
    "evdev": ("Scanners that type, and keyboards", find_keyboards),
    "hidraw": ("Scanners in HID-POS mode", find_hid_pos),
    "serial": ("Serial ports", find_serial_ports),
    "camera": ("Cameras", find_cameras),
}
_GUESSES = (("/input/", "evdev"), ("hidraw", "hidraw"), ("/video", "camera"), ("/v4l/", "camera"), ("", "serial"))
"""What a path that is not in the list is, by a part of it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A connected device, numbered for the command line."""

    number: int
    driver: str
    found: Found

    fully: bool
    """Another one is named alike but for its port."""

    @property
    def reader(self) -> str:
        """The entry in the settings that means it."""
        return f'{{ driver = "{self.driver}", {self.found.names(fully=self.fully)} }}'


def list_devices() -> list[Listed]:
    """Return what is connected, in the order of the kinds."""
    both = [(driver, each) for driver, (_, find) in KINDS.items() for each in find()]
    names = Counter((driver, each.names()) for driver, each in both)
    return [
        Listed(number, driver, each, names[driver, each.names()] > 1) for number, (driver, each) in enumerate(both, 1)
    ]


def print_devices() -> None:
    """Show what is connected, and how the settings name each."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    listed = list_devices()
    for driver, (title, _) in KINDS.items():
        mine = [each for each in listed if each.driver == driver]
        console.print(f"[bold]{title}[/]" + ("" if mine else ": none"))
        for each in mine:
            console.print(f"  [bold]{each.number}[/]  ", end="")
            console.print(f"{each.found.name}  ({each.found.path})", markup=False)
            console.print(f"     {each.reader}", markup=False)
    console.print("[bold]GPIO chips[/]", end="")
    chips = _chips()
    console.print(f": {chips}" if isinstance(chips, str) else "")
    for line in chips if isinstance(chips, list) else ():
        console.print(f"  {line}", markup=False)
    if listed:
        console.print("\nbrama devices --watch NUMBER shows what one of them sends.")


def _chips() -> list[str] | str:
    """Describe each chip and its lines that have names; or say why there are none."""
    if find_spec("gpiod") is None:
        return "gpiod is not installed; pip install 'brama\\[gpio]'"
    from drivers.gpio_lines import chip_paths, describe_chip

    told = []
    for path in chip_paths():
        try:
            chip = describe_chip(path)
        except (DeviceLost, DeviceRefused) as exc:
            told.append(str(exc))
            continue
        told.append(f'chip = "{path}"  {chip.label}, {len(chip.lines)} lines')
        names = [f"{each.offset} {each.name}" for each in chip.lines if each.name]
        taken = [f"{each.offset} by {each.user}" for each in chip.lines if each.user]
        told += [f"   names: {', '.join(names)}"] if names else []
        told += [f"   in use: {', '.join(taken)}"] if taken else []
    return told or "none"


def chosen_reader(wanted: str, driver: str | None, layout: str, suffix: str, baud: int) -> Reader:
    """Return the reader that a number of the list, or a path, means.

    Raises:
        BadSettings: nothing is meant, or an option is not one of those that there are; the message names it.
    """
    if driver is not None and driver not in KINDS:
        raise BadSettings(f"--driver: {driver}; use one of {', '.join(KINDS)}")
    listed = list_devices()
    found = next((each for each in listed if wanted in {str(each.number), each.found.path}), None)
    path = found.found.path if found else wanted
    if not path.startswith("/dev/"):
        raise BadSettings(f"--watch: {wanted}: use a number of brama devices, or a path such as /dev/input/event3")
    guessed = next(driver for part, driver in _GUESSES if part in path)
    try:
        match driver or (found.driver if found else guessed):
            case "evdev":
                typed = {"driver": "evdev", "device": path, "layout": layout, "suffix": suffix}
                return EvdevReader.model_validate(typed)
            case "hidraw":
                return HidrawReader(driver="hidraw", device=path)
            case "camera":
                return CameraReader(driver="camera", device=path)
            case _:
                return SerialReader(driver="serial", device=path, baud=baud)
    except ValidationError as exc:
        said = [f"--{each['loc'][0]}: {each['msg'][0].lower()}{each['msg'][1:]}" for each in exc.errors()]
        raise BadSettings("; ".join(said)) from exc


async def watch(reader: Reader, say: Callable[[str], None]) -> None:
    """Show what a scanner sends, or a camera reads, until Ctrl-C.

    Raises:
        DeviceLost: it is not there, went, or another program has it.
        DeviceRefused: no permission, or not such a device.
    """
    hardware = Hardware((), GateClock())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)

    async def show() -> None:
        async with aclosing(hardware.scanner(reader).reads()) as reads:
            async for read in reads:
                if not (isinstance(read, Read) and read.again):
                    say(described(read))

    showing = asyncio.create_task(show(), name="watch")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({showing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if not showing.done():
        showing.cancel()
        await asyncio.wait({showing})
    elif (failure := showing.exception()) is not None:
        raise failure


def described(read: Read | Spoiled) -> str:
    """Write one read for a technician: control characters are shown by name, since they are what goes wrong."""
    at = f"{read.at.astimezone():%H:%M:%S}"
    if isinstance(read, Spoiled):
        return f"{at}  spoiled: {read.why}"
    return f"{at}  {visible(read.symbology or 'no AIM id')}  {len(read.code)} characters  {visible(read.code)}"
