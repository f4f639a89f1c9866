"""The settings file: checked whole, every problem named with its mend."""

import json
from pathlib import Path

import pytest

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
    SerialReader,
    TerminalReader,
)
from config.settings import (
    BadSettings,
    BramaCrmSettings,
    FileCrmSettings,
    LaneSettings,
    Settings,
    check_settings,
    load_settings,
)

FOLDER = Path(__file__).parents[2] / "config"

WHOLE = """
[device]
name = "North 1"
data_path = "/var/lib/brama"
language = "uk"

[crm]
kind = "brama"
url = "https://crm.example"

[web]
host = "127.0.0.1"
port = 8080

[[lane]]
id = "north-1"
direction = "entry"
checkpoint = "c-12"
readers = [
  { driver = "terminal" },
  { driver = "serial", device = "/dev/ttyACM0", baud = 115200 },
]
turnstile = { driver = "fake", passage_timeout_s = 8 }
"""


def written(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "gate.toml"
    path.write_text(text)
    return load_settings(path)


DESIGN = """
[device]
name = "North 1"
data_path = "/var/lib/brama"      # whitelist.db, journal.db, credentials
language = "uk"                   # uk, en, ru

[crm]
kind = "brama"
url = "https://crm.example"

[web]
host = "127.0.0.1"
port = 8080

[[lane]]
id = "north-1"
direction = "entry"               # entry, exit, both
checkpoint = "c-12"               # left out: the one that the CRM assigns
readers = [
  { driver = "evdev", device = "/dev/input/by-id/usb-0c2e_Honeywell-event-kbd", layout = "us" },
  { driver = "camera", device = "/dev/video0" },
]
turnstile = { driver = "gpio", chip = "/dev/gpiochip0", release_line = 17, pulse_ms = 500, passage_line = 27, passage_timeout_s = 8 }
"""  # noqa: E501 (as the design has it)

LANE = '[device]\nname = "x"\n[[lane]]\nid = "a"\n'
OTHER = '\n[[lane]]\nid = "b"\n'


def lane_of(tmp_path: Path, keys: str) -> LaneSettings:
    """Read a lane that has these keys, too."""
    return written(tmp_path, LANE + keys).lane[0]


def faults(tmp_path: Path, text: str) -> str:
    with pytest.raises(BadSettings) as caught:
        written(tmp_path, text)
    return str(caught.value)


def test_a_whole_file_is_read_as_written(tmp_path: Path) -> None:
    settings = written(tmp_path, WHOLE)
    (lane,) = settings.lane
    assert (settings.device.name, settings.device.language, settings.web.port) == ("North 1", "uk", 8080)
    assert isinstance(lane.readers[0], TerminalReader)
    assert isinstance(lane.readers[1], SerialReader)
    assert (lane.readers[1].baud, lane.checkpoint, lane.repeat_s) == (115200, "c-12", 3.0)


def test_the_least_that_a_gate_needs(tmp_path: Path) -> None:
    settings = written(tmp_path, '[device]\nname = "x"\n[[lane]]\nid = "a"\n')
    assert (settings.crm, settings.device.language, settings.journal.keep_days) == (None, "uk", 30)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_ready_file_is_right(path: Path) -> None:
    assert load_settings(path).lane


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    text = faults(
        tmp_path,
        '[device]\nnmae = "x"\n[web]\nport = "80a"\n[crm]\nurl = "crm.example"\n[[lane]]\nid = "a b"\n'
        'readers = [{ driver = "evdef" }, { driver = "serial", device = "ttyACM0" }]\n',
    )
    assert "7 problems" in text
    for key in ("device.name: missing", "did you mean name?", "web.port", "crm.url", "lane.0.id", "readers.0.driver"):
        assert key in text
    assert "lane.0.readers.1.device" in text
    assert "'terminal', 'serial'" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[device\nname = 1", "not TOML: Expected ']' at the end of a table declaration (at line 1"),
        ('[device]\nname = "x"\n', "lane: missing"),
        ('[device]\nname = "x"\n[[lane]]\nid = "a"\n[[lane]]\nid = "a"\n', "a is there twice"),
        ('[device]\nname = "x"\n[foo]\n[[lane]]\nid = "a"\n', "foo: no such key; known: device, crm, web"),
        (
            (
                '[device]\nname = "x"\n[[lane]]\nid = "a"\nreaders = [{driver="terminal"}]\n'
                '[[lane]]\nid = "b"\nreaders = [{driver="terminal"}]\n'
            ),
            "one terminal cannot serve several readers",
        ),
        ('[device]\nname = "x"\nlanguage = "de"\n[[lane]]\nid = "a"\n', "device.language"),
    ],
)
def test_bad_files_say_what_mends_them(tmp_path: Path, text: str, said: str) -> None:
    assert said in faults(tmp_path, text)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="no such file"):
        load_settings(tmp_path / "gate.toml")
    (tmp_path / "gate.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettings, match="not UTF-8 at byte 0"):
        load_settings(tmp_path / "gate.toml")


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMA_WEB__PORT", "8081")
    assert written(tmp_path, WHOLE).web.port == 8081
    monkeypatch.setenv("BRAMA_WEB__PRT", "1")
    assert "did you mean port?" in faults(tmp_path, WHOLE)


def test_no_lane_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMA_LANE", "[]")
    with pytest.raises(BadSettings, match="1 problem\n  lane"):
        check_settings({"device": {"name": "x"}, "lane": [{"id": "a"}]}, "test")


def test_the_environment_is_named_where_it_is_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMA_LANE", "[{")
    with pytest.raises(BadSettings, match="environment: BRAMA_LANE: not JSON; mend it or unset it"):
        check_settings({"device": {"name": "x"}, "lane": [{"id": "a"}]}, "test")
    monkeypatch.setenv("BRAMA_LANE", json.dumps([{"id": "b"}]))
    assert check_settings({"device": {"name": "x"}}, "test").lane == (LaneSettings(id="b"),)


# --- hardware -------------------------------------------------------------------------------------------------------


def test_the_example_of_the_design_is_right(tmp_path: Path) -> None:
    (lane,) = written(tmp_path, DESIGN).lane
    assert lane.readers == (
        EvdevReader(driver="evdev", device="/dev/input/by-id/usb-0c2e_Honeywell-event-kbd", layout="us"),
        CameraReader(driver="camera", device="/dev/video0"),
    )
    assert lane.turnstile == GpioTurnstile(
        driver="gpio",
        chip="/dev/gpiochip0",
        release_line=LineSettings(line=17),
        pulse_ms=500,
        passage_line=LineSettings(line=27),
        passage_timeout_s=8.0,
    )


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('driver = "terminal"', TerminalReader(driver="terminal")),
        (
            'driver = "serial", port = "1-2", baud = 115200, bits = 7, parity = "even", stop_bits = 2, xonxoff = true',
            SerialReader(driver="serial", port="1-2", baud=115200, bits=7, parity="even", stop_bits=2, xonxoff=True),
        ),
        (
            'driver = "evdev", usb = "0c2e:0b61", serial = "S 1", prefix = "~", suffix = "none", gap_ms = 80',
            EvdevReader(driver="evdev", usb="0c2e:0b61", serial="S 1", prefix="~", suffix="none", gap_ms=80),
        ),
        (
            'driver = "evdev", device = "/dev/input/event3", layout = "ua", suffix = "tab", max_length = 40',
            EvdevReader(driver="evdev", device="/dev/input/event3", layout="ua", suffix="tab", max_length=40),
        ),
        (
            'driver = "hidraw", serial = "21", direction = "exit"',
            HidrawReader(driver="hidraw", serial="21", direction="exit"),
        ),
    ],
    ids=lambda value: value.split(",")[0] if isinstance(value, str) else "",
)
def test_every_reader_is_read_as_written(tmp_path: Path, text: str, meant: object) -> None:
    assert lane_of(tmp_path, f'direction = "both"\nreaders = [{{ {text} }}]').readers == (meant,)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('driver = "fake", sensor = false', FakeTurnstile(driver="fake", sensor=False)),
        (
            'driver = "http", on = { url = "http://10.0.0.7/relay/0?turn=on" }, timeout_s = 1',
            HttpTurnstile.model_validate(
                {"driver": "http", "on": {"url": "http://10.0.0.7/relay/0?turn=on"}, "timeout_s": 1}
            ),
        ),
        (
            (
                'driver = "http", on = { method = "PUT", url = "https://[fd00::7]:8443", body = "1" }, '
                'off = { method = "POST", url = "https://u:p@relay.local/", body = "0", content_type = "text/plain" }'
            ),
            HttpTurnstile.model_validate(
                {
                    "driver": "http",
                    "on": {"method": "PUT", "url": "https://[fd00::7]:8443", "body": "1"},
                    "off": {
                        "method": "POST",
                        "url": "https://u:p@relay.local/",
                        "body": "0",
                        "content_type": "text/plain",
                    },
                }
            ),
        ),
        (
            'driver = "modbus", host = "fd00::9", coil = 3, passage_input = 0',
            ModbusTurnstile(driver="modbus", host="fd00::9", coil=3, passage_input=0),
        ),
        (
            (
                'driver = "gpio", release_line = "GPIO17", open_line = { line = 22, debounce_ms = 0 }, '
                'fault_line = { line = 4, active_low = true, bias = "pull_up" }'
            ),
            GpioTurnstile(
                driver="gpio",
                release_line=LineSettings(line="GPIO17"),
                fault_line=LineSettings(line=4, active_low=True, bias="pull_up"),
                open_line=LineSettings(line=22, debounce_ms=0),
            ),
        ),
    ],
    ids=["fake", "http", "http-off", "modbus", "gpio"],
)
def test_every_turnstile_is_read_as_written(tmp_path: Path, text: str, meant: object) -> None:
    assert lane_of(tmp_path, f"turnstile = {{ {text} }}").turnstile == meant


def test_lights_are_read_as_written(tmp_path: Path) -> None:
    lane = lane_of(tmp_path, 'lights = { driver = "gpio", chip = "pinctrl-rp1", red_line = 6, buzzer_line = "BEEP" }')
    assert lane.lights == GpioLights(
        driver="gpio", chip="pinctrl-rp1", red_line=LineSettings(line=6), buzzer_line=LineSettings(line="BEEP")
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "driver: missing; use one of 'terminal', 'serial', 'evdev', 'hidraw'"),
        ('driver = "telepathy"', "driver: telepathy; use one of 'terminal', 'serial', 'evdev', 'hidraw'"),
        ('driver = "serial"', "name the device by its path, or by usb, serial and port"),
        ('driver = "evdev", device = "/dev/x", usb = "0c2e:0b61"', "name the device by its path, or by usb"),
        ('driver = "hidraw", device = "hidraw0"', "device: "),
        ('driver = "hidraw", usb = "0C2E:0B61"', "usb: "),
        ('driver = "hidraw", serial = ""', "serial: "),
        ('driver = "hidraw", port = "1-1", layout = "us"', "layout: no such key; known: direction, device, usb"),
        ('driver = "serial", port = "1-1", bits = 9', "bits: input should be 7 or 8 (found 9)"),
        ('driver = "serial", port = "1-1", baud = 5', "baud: "),
        ('driver = "serial", port = "1-1", parity = "mark"', "parity: input should be 'none', 'even' or 'odd'"),
        ('driver = "serial", port = "1-1", stop_bits = 1.5', "stop_bits: "),
        ('driver = "serial", port = "1-1", xonxoff = "x"', "xonxoff: "),
        ('driver = "evdev", port = "1-1", layout = "es"', "layout: input should be 'us', 'uk', 'de'"),
        ('driver = "evdev", port = "1-1", suffix = "crlf"', "suffix: input should be 'enter', 'tab' or 'none'"),
        ('driver = "evdev", port = "1-1", sufix = "tab"', "sufix: no such key; did you mean suffix?"),
        ('driver = "evdev", port = "1-1", gap_ms = 5', "gap_ms: "),
        ('driver = "evdev", port = "1-1", max_length = 0', "max_length: "),
        ('driver = "evdev", port = "1-1", direction = "both"', "direction: input should be 'entry' or 'exit'"),
    ],
)
def test_a_wrong_reader_is_named_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    problem = faults(tmp_path, f"{LANE}readers = [{{ {text} }}]").splitlines()[1]
    assert problem.startswith((f"  lane.0.readers.0.{said}", f"  lane.0.readers.0: {said}"))


def test_a_reader_goes_no_other_way_than_its_lane(tmp_path: Path) -> None:
    readers = 'readers = [{ driver = "terminal" }, { driver = "hidraw", port = "1-1", direction = "%s" }]'
    mend = 'leave it out, or give the lane direction = "both"'
    for lane, other in (("entry", "exit"), ("exit", "entry")):
        way = f'direction = "{lane}"\n'
        assert faults(tmp_path, LANE + way + readers % other).splitlines()[1:] == [
            f"  lane.0.readers.1.direction: {other}, but its lane is for {lane}; {mend}"
        ]
        assert lane_of(tmp_path, way + readers % lane).readers[1].direction == lane
    assert "direction: exit, but its lane is for entry" in faults(tmp_path, LANE + readers % "exit")


def test_a_way_that_is_wrong_is_named_with_the_other_problems(tmp_path: Path) -> None:
    text = faults(tmp_path, LANE + 'readers = [{ driver = "terminal", direction = "exit" }]\n[web]\nport = -1\n')
    assert "2 problems" in text
    assert "lane.0.readers.0.direction" in text
    assert "web.port" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "driver: missing; use one of 'fake', 'gpio', 'http', 'modbus'"),
        ('driver = "relay"', "driver: relay; use one of 'fake', 'gpio', 'http', 'modbus'"),
        ('driver = "fake", passage_timeout_s = 0', "passage_timeout_s: "),
        ('driver = "gpio"', "release_line: missing; add it"),
        ('driver = "gpio", release_line = 5000', "release_line.line: a line is its number on the chip"),
        ('driver = "gpio", release_line = true', "release_line.line: a line is its number on the chip"),
        ('driver = "gpio", release_line = ""', "release_line.line: a line is its number on the chip"),
        ('driver = "gpio", release_line = { lin = 1, line = 2 }', "release_line.lin: no such key; did you mean line?"),
        ('driver = "gpio", release_line = { line = 2, bias = "up" }', "release_line.bias: "),
        ('driver = "gpio", release_line = { line = 2, debounce_ms = -1 }', "release_line.debounce_ms: "),
        ('driver = "gpio", release_line = 1, opn_line = 2', "opn_line: no such key; did you mean open_line?"),
        ('driver = "gpio", release_line = 1, pulse_ms = 5', "pulse_ms: "),
        ('driver = "gpio", release_line = 1, chip = ""', "chip: "),
        ('driver = "http"', "on: missing; add it"),
        ('driver = "http", on = "http://10.0.0.7"', "on: write it as a table, with its keys in { }"),
        ('driver = "http", on = { url = "10.0.0.7/on" }', "on.url: "),
        ('driver = "http", on = { url = "http://10.0.0.7:99999/" }', "on.url: Port out of range 0-65535; write it as"),
        ('driver = "http", on = { url = "http://relay..local" }', "on.url: no host that there can be, or no port; "),
        ('driver = "http", on = { url = "http://a/\\u001b" }', "on.url: "),
        ('driver = "http", on = { url = "http://a", urll = "" }', "on.urll: no such key; did you mean url?"),
        ('driver = "http", on = { url = "http://a", method = "DELETE" }', "on.method: "),
        ('driver = "http", on = { url = "http://a", content_type = "json" }', "on.content_type: "),
        ('driver = "http", on = { url = "http://a" }, off = { url = "" }', "off.url: "),
        ('driver = "http", on = { url = "http://a" }, timeout_s = 60', "timeout_s: "),
        ('driver = "modbus", coil = 0', "host: missing; add it"),
        ('driver = "modbus", host = "http://10.0.0.9", coil = 0', "host: "),
        ('driver = "modbus", host = "10.0.0.9:502", coil = 0', "host: '10.0.0.9:502' is no host; write it as 10.0.0.9"),
        ('driver = "modbus", host = "relay..local", coil = 0', "host: 'relay..local' is no host"),
        ('driver = "modbus", host = "10.0.0.9"', "coil: missing; add it"),
        ('driver = "modbus", host = "10.0.0.9", coil = 65536', "coil: "),
        ('driver = "modbus", host = "10.0.0.9", coil = 0, unit = 256', "unit: "),
        ('driver = "modbus", host = "10.0.0.9", coil = 0, port = 0', "port: "),
        ('driver = "modbus", host = "10.0.0.9", coil = 0, passage_input = "a"', "passage_input: "),
    ],
)
def test_a_wrong_turnstile_is_named_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    problems = faults(tmp_path, f"{LANE}turnstile = {{ {text} }}").splitlines()[1:]
    assert any(each.startswith(f"  lane.0.turnstile.{said}") for each in problems), problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "lights.driver: missing; add it"),
        ('{ driver = "led", red_line = 1 }', "lights.driver: input should be 'gpio' (found 'led')"),
        ('{ driver = "gpio" }', "lights: no line; give green_line, red_line or buzzer_line, or leave lights out"),
        ('{ driver = "gpio", gren_line = 1 }', "lights.gren_line: no such key; did you mean green_line?"),
        ('{ driver = "gpio", green_line = -1 }', "lights.green_line.line: a line is its number on the chip"),
        ("5", "lights: write it as a table, with its keys in { }"),
    ],
)
def test_wrong_lights_are_named_by_their_key(tmp_path: Path, text: str, said: str) -> None:
    assert f"  lane.0.{said}" in faults(tmp_path, f"{LANE}lights = {text}")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ('readers = "serial"', "readers: write it as a list, with its parts in [ ]"),
        ('readers = ["serial"]', "readers.0: write it as a table, with its keys in { }"),
        ('turnstile = "gpio"', "turnstile: write it as a table, with its keys in { }"),
    ],
)
def test_what_is_written_in_another_form_is_shown_the_right_one(tmp_path: Path, key: str, said: str) -> None:
    assert f"  lane.0.{said}" in faults(tmp_path, LANE + key)


GPIO = 'driver = "gpio", release_line'
RELAY = 'driver = "modbus", host = "10.0.0.9", coil'


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (
            'readers = [{ driver = "serial", device = "/dev/ttyACM0" }]',
            'readers = [{ driver = "serial", device = "/dev/ttyACM0", baud = 115200 }]',
            "serial reader device /dev/ttyACM0",
        ),
        (
            'readers = [{ driver = "evdev", usb = "0c2e:0b61", port = "1-1" }]',
            'readers = [{ driver = "evdev", usb = "0c2e:0b61", port = "1-1" }]',
            "evdev reader usb 0c2e:0b61 port 1-1",
        ),
        (f"turnstile = {{ {GPIO} = 17 }}", f"turnstile = {{ {GPIO} = 17 }}", "line 17 of /dev/gpiochip0"),
        (
            f"turnstile = {{ {GPIO} = 17 }}",
            'lights = { driver = "gpio", green_line = { line = 17, active_low = true } }',
            "line 17 of /dev/gpiochip0",
        ),
        (f"turnstile = {{ {GPIO} = 17, open_line = 17 }}", "", "line 17 of /dev/gpiochip0"),
        ('lights = { driver = "gpio", red_line = "A", green_line = "A" }', "", "line A of /dev/gpiochip0"),
        (f"turnstile = {{ {RELAY} = 0 }}", f"turnstile = {{ {RELAY} = 0 }}", "coil 0 of 10.0.0.9:502 unit 1"),
        (
            f"turnstile = {{ {RELAY} = 0, passage_input = 1 }}",
            f"turnstile = {{ {RELAY} = 1, passage_input = 1 }}",
            "input 1 of 10.0.0.9:502 unit 1",
        ),
        (
            'turnstile = { driver = "http", on = { url = "http://door:secret@10.0.0.7/on" } }',
            'turnstile = { driver = "http", on = { url = "http://door:secret@10.0.0.7/on" } }',
            "relay GET http://10.0.0.7/on",
        ),
        (
            'turnstile = { driver = "http", on = { url = "http://10.0.0.7/open?door={lane}" } }',
            'turnstile = { driver = "http", on = { url = "http://10.0.0.7/open?door=a" } }',
            "relay GET http://10.0.0.7/open",
        ),
        (
            'turnstile = { driver = "http", on = { method = "POST", url = "http://10.0.0.7/", body = "pin=4711" } }',
            'turnstile = { driver = "http", on = { method = "POST", url = "http://10.0.0.7/", body = "pin=4711" } }',
            "relay POST http://10.0.0.7/",
        ),
    ],
)
def test_one_device_or_line_serves_once(tmp_path: Path, one: str, other: str, shared: str) -> None:
    text = faults(tmp_path, LANE + one + OTHER + other)
    assert f"lane: {shared}: there twice, and a box has one of it; name another" in text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            'readers = [{ driver = "hidraw", usb = "0c2e:0b61", port = "1-1" }]',
            'readers = [{ driver = "hidraw", usb = "0c2e:0b61", port = "1-2" }]',
        ),
        (f"turnstile = {{ {GPIO} = 17 }}", f'turnstile = {{ {GPIO} = 17, chip = "/dev/gpiochip1" }}'),
        (f"turnstile = {{ {RELAY} = 0 }}", f"turnstile = {{ {RELAY} = 1 }}"),
        (f"turnstile = {{ {RELAY} = 0 }}", f"turnstile = {{ {RELAY} = 0, unit = 2 }}"),
        (
            'turnstile = { driver = "http", on = { method = "POST", url = "http://10.0.0.7/", body = "1" } }',
            'turnstile = { driver = "http", on = { method = "POST", url = "http://10.0.0.7/", body = "2" } }',
        ),
        (
            'turnstile = { driver = "http", on = { url = "http://10.0.0.7/open?door={lane}" } }',
            'turnstile = { driver = "http", on = { url = "http://10.0.0.7/open?door={lane}" } }',
        ),
        (
            'turnstile = { driver = "http", on = { method = "PUT", url = "http://10.0.0.7/", body = "{lane}" } }',
            'turnstile = { driver = "http", on = { method = "PUT", url = "http://10.0.0.7/", body = "{lane}" } }',
        ),
        ('turnstile = { driver = "fake" }', 'turnstile = { driver = "fake" }'),
    ],
)
def test_two_of_a_kind_serve_two_lanes(tmp_path: Path, one: str, other: str) -> None:
    assert len(written(tmp_path, LANE + one + OTHER + other).lane) == 2


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://crm.example:99999", "Port out of range 0-65535"),
        ("http://[", "Invalid IPv6 URL"),
        ("https://crm..example", "no host that there can be, or no port"),
        ("https://:443", "no host that there can be, or no port"),
        ("https://crm.example:0", "no host that there can be, or no port"),
    ],
)
def test_an_address_that_can_be_none_is_named(tmp_path: Path, url: str, why: str) -> None:
    text = faults(tmp_path, f'{LANE}[crm]\nurl = "{url}"')
    assert text.splitlines()[1:] == [
        f"  crm.url: {why}; write it as https://name.example or http://10.0.0.7:8080/relay"
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "localhost", "fe80::1%eth0"])  # noqa: S104 (nobody listens here)
def test_every_host_can_be_listened_on(tmp_path: Path, host: str) -> None:
    assert written(tmp_path, f'{LANE}[web]\nhost = "{host}"').web.host == host


# --- instead of a CRM -----------------------------------------------------------------------------------------------


def file_crm(tmp_path: Path, text: str) -> FileCrmSettings:
    found = written(tmp_path, f'{LANE}[crm]\nkind = "file"\n{text}').crm
    assert isinstance(found, FileCrmSettings)
    return found


def test_a_kind_that_is_not_named_is_a_crm(tmp_path: Path) -> None:
    for kind in ("", 'kind = "brama"\n'):
        found = written(tmp_path, f'{LANE}[crm]\n{kind}url = "https://crm.example"').crm
        assert found == BramaCrmSettings(url="https://crm.example")


def test_barcode_files_are_a_path_or_an_address(tmp_path: Path) -> None:
    assert file_crm(tmp_path, 'path = "/media/tickets"').path == Path("/media/tickets")
    found = file_crm(tmp_path, 'url = "https://a.example/list.csv?key=1"\nevery_s = 5\nskip_bad = true\ntz = "UTC"')
    assert (found.url, found.every_s, found.skip_bad, found.tz) == ("https://a.example/list.csv?key=1", 5, True, "UTC")


def test_scans_are_written_where_the_settings_say(tmp_path: Path) -> None:
    text = f'{LANE}[crm]\nkind = "file"\npath = "/media/tickets"\n'
    assert written(tmp_path, text).scans_path == Path("/var/lib/brama/scans")
    assert written(tmp_path, text + 'scans_path = "/media/scans"').scans_path == Path("/media/scans")
    assert written(tmp_path, LANE).scans_path is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('kind = "pretix"\nurl = "https://a.example"', "crm.kind: pretix is not there yet; use one of 'brama', 'file'"),
        ('kind = "odoo"', "crm.kind: odoo; use one of 'brama', 'file'"),
        ('kind = "file"', "crm: name a path, or a url, and not both"),
        ('kind = "file"\npath = "/a"\nurl = "https://a.example"', "crm: name a path, or a url, and not both"),
        ('kind = "file"\npath = "/a"\npth = 1', "crm.pth: no such key; did you mean path?"),
        ('kind = "file"\npath = "/a"\ntz = "Kyiv"', "crm.tz: 'Kyiv' is no time zone; write it as Europe/Kyiv"),
        ('kind = "file"\npath = "/a"\nevery_s = 9', "crm.every_s: of no account with a path, which is watched"),
        ('kind = "file"\nurl = "https://a.example"\nevery_s = 1', "crm.every_s: input should be greater than or equal"),
        ('kind = "file"\nurl = "a.example"', "crm.url: "),
        ('kind = "file"\npath = "/a"\nscans_path = "/a"', "crm.scans_path: the folder of the barcode files; "),
        ('kind = "file"\npath = "/var/lib/brama/scans"', "crm.scans_path: the folder of the barcode files; "),
        ('url = "https://a.example"\npath = "/a"', "crm.path: no such key; known: kind, url"),
    ],
)
def test_a_wrong_kind_of_crm_is_named_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = faults(tmp_path, f"{LANE}[crm]\n{text}").splitlines()[1:]
    assert problem.startswith(f"  {said}")


def test_the_environment_may_say_where_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAMA_CRM__PATH", "/media/other")
    assert file_crm(tmp_path, 'path = "/media/tickets"').path == Path("/media/other")
    monkeypatch.setenv("BRAMA_CRM__KIND", "file")
    assert isinstance(written(tmp_path, LANE).crm, FileCrmSettings)
