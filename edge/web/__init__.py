"""The gate's own HTTP API, live feed and kiosk page."""
