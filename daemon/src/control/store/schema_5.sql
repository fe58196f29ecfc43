-- Bags that were delivered to be archived: when each was read again last, and what was found then (JSON); since when the zone reads it
-- no more, and why.
CREATE TABLE archives (
    transfer TEXT PRIMARY KEY REFERENCES transfers (id),
    checked  INTEGER,
    fixity   TEXT,
    ended    INTEGER,
    reason   TEXT
) STRICT;
