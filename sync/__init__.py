"""The way to the CRM and back: wire models, the change feed in, the scans out."""
