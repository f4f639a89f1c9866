"""How many reads must say the same before a code is believed."""

from drivers.camera.agreement import WITHIN_S, Agreement, reads_wanted, settled
from drivers.camera.decoder import Found
from drivers.camera.messages import Point, Sighting
from drivers.camera.symbologies import symbology


def box(left: float, top: float, width: float, height: float) -> tuple[Point, ...]:
    return ((left, top), (left + width, top), (left + width, top + height), (left, top + height))


HERE = box(0.4, 0.4, 0.2, 0.1)
BESIDE = box(0.7, 0.4, 0.2, 0.1)


def a_read(
    kind: str,
    text: str,
    step: str = "640",
    outline: tuple[Point, ...] = HERE,
    spare: float | None = None,
    short: bool = False,
    whole: bool | None = None,
    careful: bool = False,
) -> Found:
    sighting = Sighting(text, "]X0", kind, outline, step, symbology(kind).certain)
    return Found(sighting, text.encode(), spare, short, whole, careful)


def believed(*frames: tuple[float, list[Found]]) -> list[list[str]]:
    """Return what is believed of each frame."""
    agreement = Agreement()
    return [[each.text for each in agreement.believed(found, at_s)] for at_s, found in frames]


def test_one_read_of_a_matrix_code_suffices() -> None:
    for kind in ("qr", "aztec", "data_matrix"):
        assert believed((0.0, [a_read(kind, "T-1", spare=0.4)])) == [["T-1"]]
    assert believed((0.0, [a_read("micro_qr", "123", spare=0.0)])) == [["123"]]


def test_one_whose_correction_is_used_up_wants_another() -> None:
    worn = a_read("qr", "T-1", spare=0.0)
    assert believed((0.0, [worn]), (0.1, [worn])) == [[], ["T-1"]]
    worn = a_read("pdf417", "T-1", spare=0.0)
    assert believed((0.0, [worn]), (0.1, [worn]), (0.2, [worn])) == [[], [], ["T-1"]]


def test_bars_and_pdf417_want_two_equal_reads() -> None:
    for kind in ("code128", "ean_upc", "pdf417"):
        read = a_read(kind, "4006381333931", spare=0.5 if kind == "pdf417" else None)
        assert believed((0.0, [read]), (0.1, [read]), (0.2, [read])) == [[], ["4006381333931"], ["4006381333931"]]


def test_the_same_frame_twice_is_one_read() -> None:
    read = a_read("code128", "T-12345")
    assert believed((0.0, [read, read]), (0.0, [read])) == [[], []]


def test_reads_too_far_apart_do_not_confirm_one_another() -> None:
    read = a_read("code128", "T-12345")
    assert believed((0.0, [read]), (WITHIN_S + 0.1, [read])) == [[], []]
    assert believed((0.0, [read]), (WITHIN_S, [read])) == [[], ["T-12345"]]


def test_a_believed_code_stays_so_while_it_is_seen() -> None:
    read = a_read("code128", "T-12345")
    frames = [(number * 0.9 * WITHIN_S, [read]) for number in range(5)]
    assert believed(*frames)[1:] == [["T-12345"]] * 4
    assert believed((0.0, [read]), (0.1, [read]), (0.1 + 2 * WITHIN_S, [read]))[2] == []


def test_a_misread_at_the_same_place_must_be_outvoted() -> None:
    right, wrong = a_read("ean_upc", "4006381333931"), a_read("ean_upc", "4006381333139")
    frames = [right, wrong, right, wrong, right, right, right, right]
    told = believed(*((number / 10, [each]) for number, each in enumerate(frames)))
    assert told == [[]] * 7 + [["4006381333931"]]


def test_another_code_beside_it_is_no_misread() -> None:
    one, other = a_read("ean_upc", "4006381333931"), a_read("ean_upc", "9780306406157", outline=BESIDE)
    assert believed((0.0, [one, other]), (0.1, [one, other]))[1] == ["4006381333931", "9780306406157"]


def test_bars_without_a_check_want_three_and_must_be_whole() -> None:
    for kind in ("code39", "itf", "codabar"):
        read = a_read(kind, "12345678", whole=True)
        assert believed(*((number / 10, [read]) for number in range(3))) == [[], [], ["12345678"]]
        assert reads_wanted(a_read(kind, "12345678", whole=False)) is None


def test_short_forms_and_few_characters_are_soon_found_in_clutter() -> None:
    assert reads_wanted(a_read("ean_upc", "0012345000065", short=True)) == 3
    assert reads_wanted(a_read("ean_upc", "0012345000065", short=True, whole=False)) is None
    assert reads_wanted(a_read("code128", "7x")) == 3


def test_time_that_goes_back_begins_anew() -> None:
    read = a_read("code128", "T-12345")
    assert believed((100.0, [read]), (0.0, [read]), (0.1, [read])) == [[], [], ["T-12345"]]


# --- still pictures -------------------------------------------------------------------------------------------------


def standing(*found: Found) -> list[str]:
    return [each.sighting.text for each in settled(found)]


def test_each_code_of_a_still_picture_comes_once() -> None:
    assert standing(*(a_read("qr", "T-1", step, spare=0.3) for step in ("640", "960", "native"))) == ["T-1"]


def test_worn_codes_of_a_still_picture_want_two_ways_that_agree() -> None:
    for kind in ("pdf417", "qr"):
        assert standing(a_read(kind, "T-1", "640", spare=0.0)) == []
        assert standing(a_read(kind, "T-1", "640", spare=0.0), a_read(kind, "T-1", "960", spare=0.0)) == ["T-1"]
        assert standing(a_read(kind, "T-1", "640", spare=0.1)) == ["T-1"]


def test_a_misread_goes_with_what_most_ways_read() -> None:
    right = [a_read("ean_upc", "4006381333931", step) for step in ("640", "960", "native")]
    wrong = [a_read("ean_upc", "4006381333139", step) for step in ("soft", "larger")]
    assert standing(*wrong, *right) == ["4006381333931"]


def test_a_part_of_an_itf_goes_where_the_whole_is_read() -> None:
    part = [a_read("itf", "345678", step, whole=False) for step in ("640", "960", "native")]
    whole = a_read("itf", "12345678", "bars", whole=True, careful=True)
    assert standing(*part, whole) == ["12345678"]
    beyond = [a_read("itf", "345678", step, BESIDE, whole=False) for step in ("640", "960", "native")]
    assert standing(*beyond, whole) == ["12345678"]


def test_uncertain_bars_want_two_ways_or_a_careful_one() -> None:
    for kind in ("code39", "codabar", "itf", "ean_upc"):
        assert standing(a_read(kind, "123456")) == []
        assert standing(a_read(kind, "123456"), a_read(kind, "123456", "960")) == ["123456"]
        assert standing(a_read(kind, "123456", "bars", careful=True)) == ["123456"]
    assert standing(a_read("code128", "123456")) == ["123456"]


def test_half_an_ean_that_reads_as_a_upc_e_does_not_stand() -> None:
    half = [a_read("ean_upc", "0012345000065", step, short=True, whole=False) for step in ("640", "960", "native")]
    assert standing(*half) == []
    whole = [a_read("ean_upc", "0012345000065", step, short=True, whole=True) for step in ("640", "960")]
    assert standing(*whole) == []
    assert standing(*whole, a_read("ean_upc", "0012345000065", "bars", short=True, careful=True)) == ["0012345000065"]


def test_codes_at_a_slant_are_no_rivals_though_their_boxes_meet() -> None:
    lower = ((0.2, 0.2), (0.6, 0.6), (0.55, 0.65), (0.15, 0.25))
    upper = ((0.3, 0.1), (0.7, 0.5), (0.65, 0.55), (0.25, 0.15))
    one, other = a_read("code128", "T-12345", outline=lower), a_read("code128", "T-67890", outline=upper)
    assert sorted(standing(one, other)) == ["T-12345", "T-67890"]
    crossing = ((0.3, 0.5), (0.5, 0.3), (0.55, 0.35), (0.35, 0.55))
    assert len(standing(one, a_read("code128", "T-67890", outline=crossing))) == 1
