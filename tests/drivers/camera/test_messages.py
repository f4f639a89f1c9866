"""What the gate and a camera's process say to each other arrives as it was said, and nothing else is taken."""

import json
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.camera import messages
from drivers.camera.messages import (
    MOST_BYTES,
    Alive,
    Decode,
    Ended,
    FromCamera,
    Seen,
    Show,
    Shown,
    Sighting,
    StillDone,
    Stills,
    Stream,
    Task,
    ToCamera,
    Up,
    VideoDevice,
    from_camera,
    packed,
    to_camera,
)
from drivers.camera.unpacking import LONGEST_TEXT, MOST_ITEMS, Nonsense

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBER = st.floats(-1e9, 1e9)
COUNT = st.integers(0, 1 << 40)
PICTURE = st.binary(min_size=1, max_size=300)
OUTLINES = st.lists(st.tuples(NUMBER, NUMBER), max_size=4).map(tuple)
SIGHTINGS = st.lists(
    st.builds(
        Sighting, TEXT, TEXT, TEXT, st.lists(st.tuples(NUMBER, NUMBER), max_size=4).map(tuple), TEXT, st.booleans()
    ),
    max_size=3,
).map(tuple)
FROM_CAMERA = st.one_of(
    st.builds(Up, COUNT, COUNT),
    st.builds(Seen, NUMBER, NUMBER, SIGHTINGS, st.none() | PICTURE),
    st.builds(Alive, COUNT, COUNT, COUNT, NUMBER, NUMBER, NUMBER, NUMBER),
    st.builds(Shown, st.just("jpeg"), COUNT, COUNT, NUMBER, TEXT, SIGHTINGS, PICTURE),
    st.builds(StillDone, TEXT, COUNT, COUNT, NUMBER, SIGHTINGS, st.none() | TEXT, st.none() | PICTURE),
    st.builds(Ended, TEXT, st.booleans()),
)
SOURCES = st.one_of(
    st.builds(VideoDevice, TEXT, COUNT, COUNT, COUNT, st.none() | NUMBER),
    st.builds(Stream, TEXT, TEXT),
    st.builds(Stills, st.lists(TEXT, max_size=3).map(tuple), st.booleans()),
)
TO_CAMERA = st.one_of(
    st.builds(Show, st.sampled_from(["jpeg", "luma"]), COUNT, st.none() | NUMBER),
    st.builds(Decode, TEXT),
    st.builds(
        Task,
        SOURCES,
        st.lists(TEXT, max_size=3).map(tuple),
        st.tuples(NUMBER, NUMBER, NUMBER, NUMBER),
        st.sampled_from([0, 90, 180, 270]),
        *[st.booleans()] * 3,
    ),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3),
    max_leaves=5,
)
FIELDS = [
    "say",
    "width",
    "height",
    "codes",
    "picture",
    "frame_at_s",
    "took_ms",
    "why",
    "refused",
    "form",
    "step",
    "path",
]


@given(message=FROM_CAMERA)
@settings(deadline=None)
def test_what_a_camera_says_arrives(message: FromCamera) -> None:
    assert from_camera(packed(message)) == message


@given(message=TO_CAMERA)
@settings(deadline=None)
def test_what_the_gate_says_arrives(message: ToCamera) -> None:
    assert to_camera(packed(message)) == message


def test_every_message_is_known_to_its_side() -> None:
    assert {each.__name__ for each in get_args(messages.FromCamera)} == set(messages._FROM_CAMERA)
    assert {each.__name__ for each in get_args(messages.ToCamera)} == set(messages._TO_CAMERA)


@given(packet=st.binary(max_size=200))
@settings(deadline=None)
def test_bytes_that_are_no_message_are_nonsense(packet: bytes) -> None:
    with pytest.raises(Nonsense):
        from_camera(packet)


@given(
    name=st.sampled_from(sorted(messages._FROM_CAMERA)),
    body=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6),
    picture=st.binary(max_size=5),
)
@settings(max_examples=300, deadline=None)
def test_objects_of_any_kind_are_a_sound_message_or_nonsense(
    name: str, body: dict[str, object], picture: bytes
) -> None:
    packet = json.dumps({**body, "say": name}).encode() + b"\n" + picture
    try:
        message = from_camera(packet)
    except Nonsense:
        return
    assert from_camera(packed(message)) == message


def seen(**changes: object) -> bytes:
    code = {"text": "T-1", "symbology": "]Q1", "kind": "qr", "outline": [[0, 0], [1, 1]], "step": "640", **changes}
    return json.dumps({"say": "Seen", "frame_at_s": 1, "took_ms": 2.5, "codes": [code]}).encode() + b"\n"


def test_a_whole_number_is_a_number_too() -> None:
    message = from_camera(seen())
    assert isinstance(message, Seen)
    assert message.codes[0].outline == ((0.0, 0.0), (1.0, 1.0))


@pytest.mark.parametrize(
    "packet",
    [
        seen(text=5),
        seen(text="x" * (LONGEST_TEXT + 1)),
        seen(text="\ud800"),
        seen(certain=1),
        seen(outline=[[0, float("nan")]]),
        seen(outline=[[0, float("inf")]]),
        seen(outline=[[0, 1e300]]),
        seen(outline=[[0, 10**400]]),
        seen(outline=[[0, 0, 0]]),
        seen(outline=[[0, 0]] * (MOST_ITEMS + 1)),
        seen(outline={"0": [0, 0]}),
        seen(more=1),
        b'{"say":"Up","width":1}',
        b'{"say":"Up","width":true,"height":1}',
        b'{"say":"Up","width":-1,"height":1}',
        b'{"say":"Up","width":1' + b"0" * 5_000 + b',"height":1}',
        b'{"say":"Up","width":1,"height":1}\nwith a picture',
        b'{"say":["Up"],"width":1,"height":1}',
        b'{"say":"Task","source":{},"symbologies":[]}',
        b'{"say":"Shown","form":"gif","width":1,"height":1,"took_ms":1,"step":"","codes":[]}\nx',
        b'{"say":"Shown","form":"luma","width":2,"height":2,"took_ms":1,"step":"","codes":[]}\nxyz',
        b'{"say":"Shown","form":"jpeg","width":2,"height":2,"took_ms":1,"step":"","codes":[]}\n',
        b"[" * 100_000,
        b" " * (MOST_BYTES + 1),
    ],
)
def test_what_a_sound_camera_would_not_say_is_nonsense(packet: bytes) -> None:
    with pytest.raises(Nonsense):
        from_camera(packet)


@pytest.mark.parametrize("source", [b"{}", b"[]", b"null", b'{"say":"Up","width":1,"height":1}', b'"Stream"'])
def test_a_task_has_a_source_that_is_one(source: bytes) -> None:
    with pytest.raises(Nonsense):
        to_camera(b'{"say":"Task","source":' + source + b',"symbologies":[]}')


def test_what_does_not_fit_or_is_not_unicode_is_not_sent() -> None:
    with pytest.raises(Nonsense):
        packed(Shown("jpeg", 1, 1, 0.0, "", (), b"x" * MOST_BYTES))
    with pytest.raises(Nonsense):
        packed(Decode("\udcff.png"))


def test_a_password_is_in_no_representation() -> None:
    task = Task(Stream("rtsp://gate:p4ss@camera/1", "rtsp://camera/1"), ("qr",))
    assert "p4ss" not in repr(task)
    assert b"p4ss" in packed(task)
