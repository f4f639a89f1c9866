"""The hardware: one file per device family and transport; knows nothing of tickets."""
