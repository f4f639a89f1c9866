"""The gate on devices that the kernel takes for real ones."""

from tests.hardware.link import HANG_S
from tests.hardware.venue import Venue

LANE = """\
[[lane]]
id = "a"
readers = [{{ driver = "hidraw", device = "{scanner}" }}]
turnstile = {{ driver = "gpio", chip = "{chip}", release_line = 1, pulse_ms = 300 }}
"""
RELAY = {"label": "gate", "line": "RELAY"}


def test_a_scan_on_a_usb_scanner_opens_the_turnstile_once(palace: Venue) -> None:
    machine = palace.machine
    chip = machine.call("gpio_bank.plug", label="gate", lines=["LAMP", "RELAY"])
    scanner = machine.call("gadget.plug", port=0, kind="pos", serial="S-1")
    machine.call("gpio_bank.record", **RELAY)
    palace.open_gate(LANE.format(scanner=scanner, chip=chip))
    machine.call("gadget.scan", port=0, code="CODE-1")
    seen = machine.call("gpio_bank.recorded", **RELAY, changes=2, within_s=HANG_S)
    assert [level for _at, level in seen] == [0, 1, 0]
    machine.call("gadget.scan", port=0, code="CODE-NONE")
    palace.until(lambda: len(palace.journal()) == 2)
    assert [level for _at, level in machine.call("gpio_bank.recorded", **RELAY, changes=2, within_s=0)] == [0, 1, 0]
    scans = palace.until(lambda: found if len(found := palace.scans()) == 2 else [])
    assert [(scan["ticket_id"], scan["reason"]) for scan in scans] == [("T-1", "admitted"), (None, "unknown_ticket")]
