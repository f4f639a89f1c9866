"""HID report descriptors: which bits of a device's input reports mean what. Pure.

Source: Device Class Definition for HID 1.11, section 6.2.2 (items) and 8 (how reports are laid out). The limits are
those of the Linux kernel (linux/hid.h), which lets no device through that exceeds them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

MAX_DESCRIPTOR_BYTES = 4096
"""HID_MAX_DESCRIPTOR_SIZE."""
MAX_REPORT_BITS = 16 * 1024 * 8
"""HID_MAX_BUFFER_SIZE."""
MAX_VALUE_BITS = 256

_LONG_ITEM = 0xFE
_MAIN, _GLOBAL, _LOCAL = 0, 1, 2
_INPUT, _COLLECTION, _END_COLLECTION = 0x8, 0xA, 0xC
_USAGE_PAGE, _REPORT_SIZE, _REPORT_ID, _REPORT_COUNT, _PUSH, _POP = 0x0, 0x7, 0x8, 0x9, 0xA, 0xB
_USAGE, _USAGE_MINIMUM, _USAGE_MAXIMUM, _DELIMITER = 0x0, 0x1, 0x2, 0xA
_APPLICATION = 0x01
_CONSTANT, _VARIABLE, _BUFFERED = 0x001, 0x002, 0x100


class BadDescriptor(ValueError):
    """The bytes are no report descriptor that a device could mean."""


@dataclass(frozen=True, slots=True)
class Field:
    """One input item: `count` values of `bit_size` bits, side by side.

    `bit_offset` counts from the report's first byte after its id, the lowest bit of a byte first. Usages are 32 bits
    wide, the page in the upper half; `usages` are ranges of them, in the order declared. In an array the values choose
    among the usages; else each value has a usage of its own.
    """

    usages: tuple[range, ...]
    bit_offset: int
    bit_size: int
    count: int
    constant: bool
    array: bool
    buffered: bool

    def places(self, usage: int) -> Iterator[int]:
        """Yield which of the values have this usage; where there are more values than usages, the last one repeats."""
        at = 0
        for number, each in enumerate(self.usages, start=1):
            if usage in each:
                first = at + each.index(usage)
                repeats = number == len(self.usages) and usage == each[-1]
                yield from range(first, self.count if repeats else min(first + 1, self.count))
            at += len(each)

    def offset_of(self, index: int) -> int:
        """Return where a value begins, in bits as `bit_offset`."""
        return self.bit_offset + index * self.bit_size

    def value(self, data: bytes, index: int = 0) -> int | None:
        """Read one value, unsigned, out of a report without its id; None: the report ends before the value does."""
        start = self.offset_of(index)
        end = start + self.bit_size
        if end > 8 * len(data):
            return None
        first = start // 8
        bits = int.from_bytes(data[first : (end + 7) // 8], "little")
        return bits >> (start - 8 * first) & ((1 << self.bit_size) - 1)


@dataclass(frozen=True, slots=True)
class ReportLayout:
    """A device's input reports by their id; 0 where reports have none."""

    inputs: Mapping[int, tuple[Field, ...]]
    numbered: bool
    """Reports begin with a byte that says which of them they are."""
    applications: tuple[int, ...]
    """What the device says that it is: the 32-bit usages of its application collections."""


def parse(descriptor: bytes) -> ReportLayout:
    """Read a report descriptor.

    Raises:
        BadDescriptor: an item is cut short or unpaired, or a report would be longer than the kernel allows.
    """
    if len(descriptor) > MAX_DESCRIPTOR_BYTES:
        raise BadDescriptor(f"report descriptor: longer than {MAX_DESCRIPTOR_BYTES} bytes")
    parser = _Parser()
    for kind, tag, data in _items(descriptor):
        parser.take(kind, tag, data)
    return parser.result()


def _items(descriptor: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, tag and data of each short item; long ones, for which no tag has a meaning yet, are skipped."""
    at = 0
    while at < len(descriptor):
        prefix = descriptor[at]
        if prefix == _LONG_ITEM:
            size, start = descriptor[at + 1] if at + 1 < len(descriptor) else 0, at + 3
        else:
            size, start = (0, 1, 2, 4)[prefix & 0x03], at + 1
        at = start + size
        if at > len(descriptor):
            raise BadDescriptor("report descriptor: its last item is cut short")
        if prefix != _LONG_ITEM:
            yield prefix >> 2 & 0x03, prefix >> 4, descriptor[start:at]


@dataclass(frozen=True, slots=True)
class _Globals:
    """What stays in force until it is said anew."""

    page: int = 0
    bit_size: int = 0
    count: int = 0
    report_id: int = 0


@dataclass(slots=True)
class _Locals:
    """What holds for the next main item alone. A usage knows whether it came with its page."""

    usages: list[tuple[range, bool]] = field(default_factory=list)
    minimum: tuple[int, bool] | None = None
    maximum: tuple[int, bool] | None = None
    alternatives: int | None = None
    """Inside a delimited set: how many usages it has named so far, of which the first is the preferred one."""


class _Parser:
    """The item state machine of section 6.2.2."""

    def __init__(self) -> None:
        self._globals = _Globals()
        self._pushed: list[_Globals] = []
        self._locals = _Locals()
        self._depth = 0
        self._used_bits: dict[int, int] = {}
        self._inputs: dict[int, list[Field]] = {}
        self._applications: list[int] = []

    def take(self, kind: int, tag: int, data: bytes) -> None:
        """Take the next item; reserved ones mean nothing yet and are passed over."""
        value = int.from_bytes(data, "little")
        if kind == _MAIN:
            self._main(tag, value)
        elif kind == _GLOBAL:
            self._global(tag, value)
        elif kind == _LOCAL:
            self._local(tag, value, wide=len(data) == 4)

    def result(self) -> ReportLayout:
        """Return what was declared, once all items have been taken."""
        if self._depth or self._locals.alternatives is not None:
            raise BadDescriptor("report descriptor: a collection or a delimited set is not closed")
        numbered = any(self._inputs)
        if numbered and 0 in self._inputs:
            raise BadDescriptor("report descriptor: some of its reports have an id and some have none")
        inputs = {report_id: tuple(fields) for report_id, fields in self._inputs.items()}
        return ReportLayout(inputs, numbered, tuple(self._applications))

    def _main(self, tag: int, value: int) -> None:
        if tag == _COLLECTION:
            self._depth += 1
            usages = self._usages()
            if value == _APPLICATION and usages:
                self._applications.append(usages[0][0])
        elif tag == _END_COLLECTION:
            if not self._depth:
                raise BadDescriptor("report descriptor: a collection ends that has not begun")
            self._depth -= 1
        elif tag == _INPUT:
            self._input(value)
        self._locals = _Locals()

    def _input(self, flags: int) -> None:
        now = self._globals
        start = self._used_bits.get(now.report_id, 0)
        if now.bit_size > MAX_VALUE_BITS or start + now.bit_size * now.count > MAX_REPORT_BITS:
            raise BadDescriptor(f"report descriptor: report {now.report_id} is too long for any device")
        self._used_bits[now.report_id] = start + now.bit_size * now.count
        fields = self._inputs.setdefault(now.report_id, [])
        if now.bit_size and now.count:
            marks = bool(flags & _CONSTANT), not flags & _VARIABLE, bool(flags & _BUFFERED)
            fields.append(Field(self._usages(), start, now.bit_size, now.count, *marks))

    def _global(self, tag: int, value: int) -> None:
        if tag == _USAGE_PAGE:
            self._globals = replace(self._globals, page=value & 0xFFFF)
        elif tag == _REPORT_SIZE:
            self._globals = replace(self._globals, bit_size=value)
        elif tag == _REPORT_COUNT:
            self._globals = replace(self._globals, count=value)
        elif tag == _REPORT_ID:
            if not 1 <= value <= 255:
                raise BadDescriptor(f"report descriptor: {value} is no report id")
            self._globals = replace(self._globals, report_id=value)
        elif tag == _PUSH:
            self._pushed.append(self._globals)
        elif tag == _POP:
            if not self._pushed:
                raise BadDescriptor("report descriptor: pops what was not pushed")
            self._globals = self._pushed.pop()

    def _local(self, tag: int, value: int, *, wide: bool) -> None:
        now = self._locals
        if tag == _DELIMITER:
            if (value == 1) == (now.alternatives is not None):
                raise BadDescriptor("report descriptor: its delimiters do not pair")
            now.alternatives = 0 if value == 1 else None
            return
        usage = value if wide else self._globals.page << 16 | value
        if tag == _USAGE:
            self._declare(range(usage, usage + 1), wide=wide)
        elif tag == _USAGE_MINIMUM:
            now.minimum = usage, wide
        elif tag == _USAGE_MAXIMUM:
            now.maximum = usage, wide
        if now.minimum and now.maximum:
            (first, wide), (last, _) = now.minimum, now.maximum
            if first > last or first >> 16 != last >> 16:
                raise BadDescriptor("report descriptor: a usage minimum lies above its maximum")
            self._declare(range(first, last + 1), wide=wide)
            now.minimum = now.maximum = None

    def _declare(self, usages: range, *, wide: bool) -> None:
        if self._locals.alternatives is not None:
            self._locals.alternatives += 1
            if self._locals.alternatives > 1:
                return
        self._locals.usages.append((usages, wide))

    def _usages(self) -> tuple[range, ...]:
        """Return the usages of this main item.

        A usage without a page of its own belongs to the page last declared before the main item, not before the usage.
        Yet devices also name usages of several pages one after the other for one item, so those that stand before one
        of the last page keep the page that they were declared under. Linux reads descriptors so.
        """
        usages, settled = list[range](), False
        for each, wide in reversed(self._locals.usages):
            settled = settled or (not wide and each[0] >> 16 == self._globals.page)
            if wide or settled:
                usages.append(each)
            else:
                first = self._globals.page << 16 | each[0] & 0xFFFF
                usages.append(range(first, first + len(each)))
        return tuple(reversed(usages))
