"""The pure heart of the gate: barcodes, tickets, hours and the admission decision. No I/O, no clock, no randomness."""
