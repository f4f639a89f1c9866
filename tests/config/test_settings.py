"""The settings file: checked whole, every problem named with its mend."""

from pathlib import Path

import pytest

from config.settings import BadSettings, SerialReader, Settings, TerminalReader, check_settings, load_settings

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
