-- journal.db, version 1: this device's own record of scans. Never thrown away.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Append-only. `hash` is over `prev` and the row as the CRM gets it, so that a removed or edited row shows.
-- `detail` holds the facts that the message is made of; `at` is ISO 8601 UTC.
CREATE TABLE scan (
    seq INTEGER PRIMARY KEY,
    scan_id TEXT NOT NULL UNIQUE,
    prev BLOB NOT NULL,
    hash BLOB NOT NULL,
    lane TEXT NOT NULL,
    checkpoint TEXT,
    controller TEXT,
    ticket_id TEXT,
    event TEXT,
    lookup BLOB,
    code TEXT,
    direction TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reason TEXT NOT NULL,
    at TEXT NOT NULL,
    clock TEXT NOT NULL,
    passage TEXT,
    note TEXT,
    of TEXT,
    detail TEXT NOT NULL
);

-- What the turnstile saw after a scan was recorded; a scan without a row here is as its own `passage` says.
CREATE TABLE passage (scan_id TEXT PRIMARY KEY, passage TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;

-- The entries and exits that stand, by which policies and zones count; a release takes its row away. `at` in
-- microseconds since 1970; `ticket_id` and `event` are empty for a guest let in without a known ticket.
CREATE TABLE usage (
    ticket_id TEXT NOT NULL,
    event TEXT NOT NULL,
    at INTEGER NOT NULL,
    scan_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    checkpoint TEXT,
    lane TEXT NOT NULL,
    PRIMARY KEY (ticket_id, event, at, scan_id)
) WITHOUT ROWID;

CREATE TABLE shift (
    id INTEGER PRIMARY KEY,
    lane TEXT NOT NULL,
    controller TEXT NOT NULL,
    opened_at TEXT NOT NULL,
    closed_at TEXT
);
CREATE INDEX shift_open ON shift (lane) WHERE closed_at IS NULL;

-- Scans that the CRM refused, kept until a person retries or drops them.
CREATE TABLE parked (seq INTEGER PRIMARY KEY, scan_id TEXT NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL, at TEXT NOT NULL);

-- Tickets admitted at two devices, by the admission that was one too many.
CREATE TABLE conflict (scan_id TEXT PRIMARY KEY, ticket_id TEXT NOT NULL, body TEXT NOT NULL, at TEXT NOT NULL) WITHOUT ROWID;

-- Where sent rows went: gzip files of the same rows, one JSON object a line.
CREATE TABLE archive (
    first_seq INTEGER PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    last_hash BLOB NOT NULL,
    at TEXT NOT NULL
);

-- Rows that a damaged journal could not give back.
CREATE TABLE lost (first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, at TEXT NOT NULL);
