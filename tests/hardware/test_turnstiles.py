"""Turnstiles, contacts and lamps at the gate, on GPIO lines that are measured and wired from outside."""

from typing import Any

from tests.hardware.link import HANG_S
from tests.hardware.test_pc import HOLD
from tests.hardware.venue import Venue

LINES = ["RELAY", "PASSED", "FAULT", "FIRE", "GREEN", "RED", "BUZZER"]
TURNSTILE = (
    'turnstile = { driver = "gpio", chip = "gate", release_line = "RELAY", pulse_ms = 300, '
    'passage_line = "PASSED", passage_timeout_s = %s, fault_line = "FAULT", open_line = "FIRE" }\n'
)
LIGHTS = 'lights = { driver = "gpio", chip = "gate", green_line = "GREEN", red_line = "RED", buzzer_line = "BUZZER" }\n'


def lane(lane_id: str = "a", passage_timeout_s: float = 60) -> str:
    """Write a lane with a turnstile and lamps."""
    return f'[[lane]]\nid = "{lane_id}"\ncheckpoint = "c-1"\n' + TURNSTILE % passage_timeout_s + LIGHTS


class Wired:
    """A venue whose gate has the bank of lines `gate`, and is open."""

    def __init__(self, palace: Venue, settings: str, *watched: str) -> None:
        self.palace = palace
        self.machine = palace.machine
        self.machine.call("gpio_bank.plug", label="gate", lines=LINES)
        self.machine.run("udevadm settle")
        for line in watched:
            self.machine.call("gpio_bank.record", label="gate", line=line)
        self.gate = palace.open_gate(settings)
        self.until_fault(None)

    def contact(self, line: str, closed: bool) -> None:
        """Close or open a contact."""
        self.machine.call("gpio_bank.pull", label="gate", line=line, up=closed)

    def level(self, line: str) -> int:
        found: int = self.machine.call("gpio_bank.level", label="gate", line=line)
        return found

    def seen(self, line: str, changes: int) -> list[tuple[float, int]]:
        """Return what a recorder saw: when, and the level."""
        found = self.machine.call("gpio_bank.recorded", label="gate", line=line, changes=changes, within_s=HANG_S)
        return [(at, level) for at, level in found]

    def turnstile(self, lane_id: str = "a") -> dict[str, Any]:
        """Return what the gate says of a lane's turnstile."""
        (found,) = [each["turnstile"] for each in self.palace.status()["lanes"] if each["id"] == lane_id]
        return dict(found)

    def until_fault(self, said: str | None) -> str:
        """Wait until a fault says that, or there is none."""

        def look() -> str:
            faults = self.palace.status()["faults"]
            if said is None:
                return "" if faults else "none"
            return next((each for each in faults if said in each), "")

        return self.palace.until(look)

    def reasons(self) -> list[str]:
        """Return the reasons in the journal."""
        return [scan["reason"] for scan in self.palace.journal()]


def test_an_admission_pulses_the_relay_and_the_guest_who_passes_has_used_the_ticket(palace: Venue) -> None:
    wired = Wired(palace, lane(), "RELAY", "GREEN", "RED", "BUZZER")
    assert palace.scan("CODE-1")["passage"] == "unknown"
    assert [level for _at, level in wired.seen("RELAY", 2)] == [0, 1, 0]
    wired.contact("PASSED", True)
    palace.until(lambda: palace.journal()[0]["passage"] == "passed")
    assert palace.scan("CODE-1", scan_id="again")["reason"] == "already_used"
    assert [level for _at, level in wired.seen("GREEN", 2)] == [0, 1, 0]
    assert wired.seen("RED", 2)[1][1] == 1
    assert len(wired.seen("RELAY", 2)) == 3, "a refusal releases nobody"


def test_a_guest_who_does_not_pass_gets_the_ticket_back_and_the_central_hears_of_it(palace: Venue) -> None:
    wired = Wired(palace, lane(passage_timeout_s=1), "RELAY")
    first = palace.scan("CODE-2")
    palace.until(lambda: wired.reasons() == ["admitted", "not_passed"])
    assert palace.scan("CODE-2")["verdict"] == "admitted"
    assert [level for _at, level in wired.seen("RELAY", 4)] == [0, 1, 0, 1, 0]
    heard = palace.until(lambda: found if len(found := palace.scans()) >= 2 else [])
    assert (heard[1]["reason"], heard[1]["of"]) == ("not_passed", first["scan_id"])


def test_guests_are_released_one_at_a_time(palace: Venue) -> None:
    wired = Wired(palace, lane(), "RELAY")
    palace.scan("CODE-3")
    wired.seen("RELAY", 2)
    palace.scan("CODE-4")
    assert wired.level("RELAY") == 0, "the guest before has not passed"
    wired.contact("PASSED", True)
    assert [level for _at, level in wired.seen("RELAY", 4)] == [0, 1, 0, 1, 0]


def test_a_fire_holds_the_lane_open_loudly_and_in_the_journal(palace: Venue) -> None:
    wired = Wired(palace, lane(), "RELAY", "BUZZER")
    wired.contact("FIRE", True)
    palace.until(lambda: wired.turnstile()["held_open"])
    assert wired.level("RELAY") == 1
    assert "held open" in wired.until_fault("held open")
    wired.seen("BUZZER", 6)  # an alarm that goes on
    assert palace.scan("CODE-5")["verdict"] == "admitted"
    wired.contact("FIRE", False)
    palace.until(lambda: not wired.turnstile()["held_open"])
    wired.until_fault(None)
    assert [level for _at, level in wired.seen("RELAY", 2)] == [0, 1, 0], "held without a gap, and locked again"
    assert wired.reasons() == ["emergency_open", "admitted", "emergency_over"]
    heard = palace.until(lambda: found if len(found := palace.scans()) == 3 else [])
    assert [scan["reason"] for scan in heard] == ["emergency_open", "admitted", "emergency_over"]
    assert palace.machine.run("python3 -m edge journal verify").endswith("the chain is whole")


def test_a_fire_that_burns_when_the_gate_starts_opens_the_lane(palace: Venue) -> None:
    palace.machine.call("gpio_bank.plug", label="gate", lines=LINES)
    palace.machine.call("gpio_bank.pull", label="gate", line="FIRE", up=True)
    palace.machine.run("udevadm settle")
    palace.open_gate(lane())
    palace.until(lambda: palace.machine.call("gpio_bank.level", label="gate", line="RELAY") == 1)


def test_a_fault_contact_is_shown_while_it_lasts(palace: Venue) -> None:
    wired = Wired(palace, lane())
    wired.contact("FAULT", True)
    assert "it reports a fault" in wired.until_fault("turnstile")
    wired.contact("FAULT", False)
    wired.until_fault(None)


def test_a_line_in_use_by_another_program_is_named_and_taken_once_free(palace: Venue) -> None:
    machine = palace.machine
    node = machine.call("gpio_bank.plug", label="gate", lines=LINES)
    holder = machine.start(HOLD.replace("NODE", node))
    holder.wait_line("held")
    machine.run("udevadm settle")
    free = '[[lane]]\nid = "b"\ncheckpoint = "c-1"\n'
    palace.open_gate(lane() + free)
    fault = palace.until(lambda: next((each for each in palace.status()["faults"] if "in use" in each), ""))
    assert fault.startswith("lane a: gate: in use: line 0 by ")
    assert "stop that program, or name another line" in fault
    assert palace.scan("CODE-6", lane="b")["verdict"] == "admitted"
    doctor = machine.start("python3 -m edge doctor", user="brama")
    assert doctor.wait() == 1
    assert "FAULT lane a: turnstile: gate: release_line RELAY: in use by" in doctor.output
    holder.signal(9)
    palace.until(lambda: not palace.status()["faults"])
    machine.call("gpio_bank.record", label="gate", line="RELAY")
    palace.scan("CODE-7", lane="a")
    assert machine.call("gpio_bank.recorded", label="gate", line="RELAY", changes=2, within_s=HANG_S)[1][1] == 1


def test_a_relay_board_that_is_pulled_out_is_shown_and_comes_back(palace: Venue) -> None:
    wired = Wired(palace, lane())
    wired.machine.call("gpio_bank.unplug", label="gate")
    wired.until_fault("lane a: gate")
    assert palace.scan("CODE-8")["verdict"] == "admitted", "the verdict stands"
    wired.until_fault("its lines are not claimed")  # and nobody waits for a release any more
    wired.machine.call("gpio_bank.plug", label="gate", lines=LINES)
    wired.until_fault(None)
    wired.machine.call("gpio_bank.record", label="gate", line="RELAY")
    palace.scan("CODE-9")
    assert [level for _at, level in wired.seen("RELAY", 2)] == [0, 1, 0]
