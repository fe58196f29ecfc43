-- The newest update of each kind that was admitted: nothing older is taken. The audit log says the same.
CREATE TABLE updates (
    kind     TEXT PRIMARY KEY NOT NULL,
    number   INTEGER NOT NULL,
    bundle   TEXT NOT NULL,     -- SHA-256
    key      TEXT NOT NULL,     -- fingerprint
    admitted INTEGER NOT NULL,
    applied  INTEGER            -- none while it is not in place
) STRICT;
