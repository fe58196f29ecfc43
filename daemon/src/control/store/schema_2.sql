-- The register of disclosures: a record for each release and each correction. What it says is its statement; the other columns
-- repeat what finds it. The audit entry has the statement's digest.

CREATE TABLE register (
    number        INTEGER PRIMARY KEY,
    transfer      TEXT NOT NULL REFERENCES transfers (id),
    release_entry INTEGER NOT NULL,     -- number of the release's audit entry
    corrects      INTEGER UNIQUE REFERENCES register (number),
    entry         INTEGER NOT NULL UNIQUE REFERENCES audit (number),
    statement     TEXT NOT NULL
) STRICT;

CREATE INDEX register_by_transfer ON register (transfer, release_entry);

CREATE TRIGGER register_is_not_changed BEFORE UPDATE ON register
BEGIN SELECT raise(ABORT, 'the register only grows'); END;

CREATE TRIGGER register_is_not_cut BEFORE DELETE ON register
BEGIN SELECT raise(ABORT, 'the register only grows'); END;

-- `INSERT OR REPLACE` would delete without asking the trigger above, whichever of the unique columns it meets.
CREATE TRIGGER register_only_grows BEFORE INSERT ON register
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM register)
    OR EXISTS (SELECT 1 FROM register WHERE entry = NEW.entry OR corrects = NEW.corrects)
BEGIN SELECT raise(ABORT, 'the register only grows'); END;
