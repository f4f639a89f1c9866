"""SQLite on the gate: `whitelist.db`, which can be pulled again, and `journal.db`, which can never be lost."""
