"""HID report descriptors: where a report's values lie, and that no descriptor does harm."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.hid_report import MAX_DESCRIPTOR_BYTES, MAX_REPORT_BITS, MAX_VALUE_BITS, BadDescriptor, Field, parse

BOOT_KEYBOARD = bytes.fromhex(
    "05 01 09 06 a1 01  05 07 19 e0 29 e7 15 00 25 01 75 01 95 08 81 02  95 01 75 08 81 01"
    "95 05 75 01 05 08 19 01 29 05 91 02 95 01 75 03 91 01  95 06 75 08 15 00 25 65 05 07 19 00 29 65 81 00 c0"
)
"""The example of Device Class Definition for HID 1.11, appendix B.1."""


def only_field(descriptor: str) -> Field:
    ((field,),) = parse(bytes.fromhex(descriptor)).inputs.values()
    return field


def test_the_boot_keyboard_is_laid_out_as_the_standard_says() -> None:
    layout = parse(BOOT_KEYBOARD)
    assert not layout.numbered
    assert layout.applications == (0x0001_0006,)
    modifiers, reserved, keys = layout.inputs[0]
    assert modifiers == Field((range(0x7_00E0, 0x7_00E8),), 0, 1, 8, constant=False, array=False, buffered=False)
    assert (reserved.bit_offset, reserved.constant, reserved.usages) == (8, True, ())
    assert keys == Field((range(0x7_0000, 0x7_0066),), 16, 8, 6, constant=False, array=True, buffered=False)
    # Right shift held, and the key "a".
    report = bytes([0x20, 0, 0x04, 0, 0, 0, 0, 0])
    (place,) = modifiers.places(0x7_00E5)
    assert modifiers.value(report, place) == 1
    assert [modifiers.value(report, index) for index in range(8)].count(1) == 1
    assert keys.value(report, 0) == 0x04


def test_each_report_counts_its_own_bits() -> None:
    layout = parse(bytes.fromhex("85 01 75 08 95 02 09 01 81 02  85 02 95 01 09 02 81 02  85 01 09 03 81 02"))
    assert layout.numbered
    assert [each.bit_offset for each in layout.inputs[1]] == [0, 16]
    assert [each.bit_offset for each in layout.inputs[2]] == [0]


def test_what_goes_out_takes_no_room_in_what_comes_in() -> None:
    layout = parse(bytes.fromhex("75 08 95 04 09 01 91 02 09 02 b1 02 09 03 81 02"))
    (field,) = layout.inputs[0]
    assert (field.bit_offset, field.usages) == (0, (range(3, 4),))


def test_pop_brings_back_what_push_put_away() -> None:
    layout = parse(bytes.fromhex("05 8c 75 08 95 03 a4  05 01 75 01 95 10 09 01 81 02  b4 09 fe 81 02"))
    small, restored = layout.inputs[0]
    assert (small.bit_size, small.count, small.usages) == (1, 16, (range(0x1_0001, 0x1_0002),))
    assert (restored.bit_size, restored.count, restored.usages) == (8, 3, (range(0x8C_00FE, 0x8C_00FF),))


def test_long_items_and_reserved_ones_are_passed_over() -> None:
    descriptor = "fe 03 77 aa bb cc 75 08 95 01 0c 0c c4 f0 d1 01 09 fe 82 02 01"
    assert only_field(descriptor).usages == (range(0xFE, 0xFF),)
    assert only_field(descriptor).buffered


@pytest.mark.parametrize(
    ("items", "usages"),
    [
        pytest.param("05 8c 09 fb", [0x8C_00FB], id="of the page in force"),
        pytest.param("09 fb 05 8c", [0x8C_00FB], id="of a page that comes after it"),
        pytest.param("05 01 09 3b 05 8c 09 fb", [0x1_003B, 0x8C_00FB], id="of two pages"),
        pytest.param("05 01 0b fb 00 8c 00", [0x8C_00FB], id="with its page"),
        pytest.param("0b fb 00 8c 00 05 01", [0x8C_00FB], id="with its page, before another page"),
        pytest.param("05 8c 1a fb 00 29 fd", [0x8C_00FB, 0x8C_00FC, 0x8C_00FD], id="from, to"),
        pytest.param("29 fd 19 fb 05 8c", [0x8C_00FB, 0x8C_00FC, 0x8C_00FD], id="to, from"),
        pytest.param("05 8c a9 01 09 fb 09 10 09 11 a9 00 09 fc", [0x8C_00FB, 0x8C_00FC], id="the first of a set"),
    ],
)
def test_usages_are_whole(items: str, usages: list[int]) -> None:
    field = only_field(f"75 08 95 08 {items} 81 02")
    assert [usage for each in field.usages for usage in each] == usages
    assert [next(field.places(usage)) for usage in usages] == list(range(len(usages)))


def test_a_usage_holds_for_one_item_only() -> None:
    layout = parse(bytes.fromhex("75 08 95 01 09 10 a1 00 81 02 09 11 c0 81 02"))
    assert [each.usages for each in layout.inputs[0]] == [(), ()]


def test_the_last_usage_is_repeated_for_the_values_left() -> None:
    field = only_field("05 8c 75 08 95 06 19 fb 29 fe 81 02")
    assert [list(field.places(0x8C_0000 | each)) for each in (0xFB, 0xFD, 0xFE)] == [[0], [2], [3, 4, 5]]
    assert list(field.places(0x8C_00FA)) == []


def test_a_usage_may_be_named_for_each_value() -> None:
    field = only_field("05 8c 75 08 95 04 09 fe 09 fe 09 ff 09 fe 81 02")
    assert list(field.places(0x8C_00FE)) == [0, 1, 3]
    assert list(field.places(0x8C_00FF)) == [2]


def test_usages_beyond_the_values_have_no_place() -> None:
    field = only_field("05 8c 75 08 95 02 19 fb 29 fe 81 02")
    assert [list(field.places(0x8C_0000 | each)) for each in (0xFB, 0xFC, 0xFD, 0xFE)] == [[0], [1], [], []]


@given(st.binary(max_size=12), st.integers(1, 40), st.integers(0, 70), st.integers(0, 5))
def test_a_value_is_its_bits_lowest_first(data: bytes, size: int, offset: int, index: int) -> None:
    field = Field((), offset, size, 6, constant=False, array=False, buffered=False)
    bits = [byte >> bit & 1 for byte in data for bit in range(8)]
    start = offset + index * size
    expected = None
    if start + size <= len(bits):
        expected = sum(bit << place for place, bit in enumerate(bits[start : start + size]))
    assert field.value(data, index) == expected


@pytest.mark.parametrize(
    ("descriptor", "why"),
    [
        ("05", "cut short"),
        ("27 00 00", "cut short"),
        ("fe", "cut short"),
        ("fe 05 00 01", "cut short"),
        ("a1 01", "not closed"),
        ("c0", "not begun"),
        ("a1 01 c0 c0", "not begun"),
        ("b4", "not pushed"),
        ("85 00", "no report id"),
        ("86 00 01", "no report id"),
        ("a9 01 a9 01", "do not pair"),
        ("a9 00", "do not pair"),
        ("a9 01 09 01", "not closed"),
        ("29 01 19 02", "above its maximum"),
        ("1b 00 00 01 00 2b 00 00 02 00", "above its maximum"),
        ("75 08 95 01 81 02 85 01 81 02", "some of its reports have an id"),
        ("77 ff ff ff ff 95 01 81 02", "too long"),
        ("75 08 97 ff ff ff ff 81 02", "too long"),
        ("77 ff ff ff ff 97 ff ff ff ff 81 02", "too long"),
    ],
)
def test_nonsense_is_refused_and_named(descriptor: str, why: str) -> None:
    with pytest.raises(BadDescriptor, match=why):
        parse(bytes.fromhex(descriptor))


def test_limits_are_those_of_the_kernel() -> None:
    count = MAX_REPORT_BITS // 8
    most = bytes([0x75, 8, 0x96, *count.to_bytes(2, "little"), 0x81, 2])
    assert parse(most).inputs[0][0].count == count
    with pytest.raises(BadDescriptor, match="too long"):
        parse(most + bytes([0x95, 1, 0x81, 2]))
    widest = bytes([0x76, *MAX_VALUE_BITS.to_bytes(2, "little"), 0x95, 1, 0x81, 2])
    assert parse(widest).inputs[0][0].bit_size == MAX_VALUE_BITS
    with pytest.raises(BadDescriptor, match="longer than"):
        parse(bytes(MAX_DESCRIPTOR_BYTES + 1))


def test_a_range_of_every_usage_is_held_as_a_range() -> None:
    field = only_field("1b 00 00 8c 00 2b ff ff 8c 00 75 01 95 01 81 02")
    assert field.usages == (range(0x8C_0000, 0x8D_0000),)


ITEMS = st.lists(
    st.one_of(
        st.sampled_from([bytes([prefix]) for prefix in (0xA4, 0xB4, 0xC0)]),
        st.builds(
            lambda prefix, value: bytes([prefix, value]),
            st.sampled_from([0x05, 0x09, 0x19, 0x29, 0x75, 0x81, 0x85, 0x91, 0x95, 0xA1, 0xA9, 0xB1]),
            st.integers(0, 255),
        ),
        st.builds(
            lambda prefix, value: bytes([prefix]) + value,
            st.sampled_from([0x07, 0x0B, 0x1B, 0x2B, 0x77, 0x83, 0x97]),
            st.binary(min_size=4, max_size=4),
        ),
        st.binary(max_size=4),
    ),
    max_size=60,
)


@given(ITEMS)
@example([b""])
@example([b"\xfe"])
def test_any_bytes_are_read_or_refused(items: list[bytes]) -> None:
    try:
        layout = parse(b"".join(items))
    except BadDescriptor:
        return
    for report_id, fields in layout.inputs.items():
        assert (report_id > 0) == layout.numbered
        end = 0
        for field in fields:
            assert field.bit_offset >= end
            end = field.offset_of(field.count)
        assert end <= MAX_REPORT_BITS
