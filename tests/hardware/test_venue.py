"""The venue in the machine: its gate judges, and its central hears of it."""

from tests.hardware.venue import Venue


def test_a_scan_at_the_gate_reaches_the_central(palace: Venue) -> None:
    palace.open_gate()
    assert palace.scan("CODE-7")["verdict"] == "admitted"
    assert palace.scan("NO-SUCH")["reason"] == "unknown_ticket"
    assert [scan["reason"] for scan in palace.journal()] == ["admitted", "unknown_ticket"]
    scans = palace.until(lambda: found if len(found := palace.scans()) == 2 else [])
    assert [(scan["ticket_id"], scan["verdict"]) for scan in scans] == [("T-7", "admitted"), (None, "refused")]
    palace.until(lambda: palace.status()["backlog"]["unsent"] == 0)
