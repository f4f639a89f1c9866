-- whitelist.db, version 2: the sums by the lookup's first byte, so that a difference is found where it lies.

CREATE TABLE bucket (first_byte INTEGER PRIMARY KEY, tickets INTEGER NOT NULL, fingerprint TEXT NOT NULL);
