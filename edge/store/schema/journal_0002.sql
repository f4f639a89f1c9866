-- journal.db, version 2: a parked scan is kept as it was sent, can be sent again, and can be dropped with a reason.

ALTER TABLE parked ADD COLUMN body TEXT;
ALTER TABLE parked ADD COLUMN retry INTEGER NOT NULL DEFAULT 0;

-- Parked scans that a person gave up; the journal's own rows stay.
CREATE TABLE dropped (
    seq INTEGER PRIMARY KEY,
    scan_id TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    body TEXT,
    reason TEXT NOT NULL,
    at TEXT NOT NULL
);
