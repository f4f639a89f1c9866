-- whitelist.db, version 1: what the CRM says. Can be thrown away and pulled again, so it has no migrations.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One probe by lookup finds a code's tickets of every event. Times are kept as sent: fingerprints are over the text.
CREATE TABLE ticket (
    lookup BLOB NOT NULL,
    event TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL,
    valid_from TEXT,
    valid_until TEXT,
    holder TEXT,
    seat TEXT,
    source TEXT,
    PRIMARY KEY (lookup, event)
) WITHOUT ROWID;

-- Events, ticket types, checkpoints, controllers, assignments: few, read whole, so each is one JSON body.
CREATE TABLE entity (kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;

-- Entries and exits made at other devices; `at` in microseconds since 1970.
CREATE TABLE admission (
    scan_id TEXT PRIMARY KEY,
    ticket_id TEXT,
    checkpoint TEXT,
    direction TEXT NOT NULL,
    at INTEGER NOT NULL,
    device TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX admission_ticket ON admission (ticket_id, at);

CREATE TABLE flow (checkpoint TEXT PRIMARY KEY, entries INTEGER NOT NULL, exits INTEGER NOT NULL) WITHOUT ROWID;

CREATE TRIGGER admission_comes AFTER INSERT ON admission WHEN NEW.checkpoint IS NOT NULL
BEGIN
    INSERT INTO flow VALUES (NEW.checkpoint, NEW.direction = 'entry', NEW.direction = 'exit')
    ON CONFLICT (checkpoint) DO UPDATE SET entries = entries + excluded.entries, exits = exits + excluded.exits;
END;

CREATE TRIGGER admission_goes AFTER DELETE ON admission WHEN OLD.checkpoint IS NOT NULL
BEGIN
    UPDATE flow SET entries = entries - (OLD.direction = 'entry'), exits = exits - (OLD.direction = 'exit')
    WHERE checkpoint = OLD.checkpoint;
END;
