-- What persons chose of held transfers. `void`: why a choice does not count any more.
CREATE TABLE reviews (
    number   INTEGER PRIMARY KEY,
    transfer TEXT NOT NULL REFERENCES transfers (id),
    uid      INTEGER NOT NULL,
    name     TEXT NOT NULL,
    choice   TEXT NOT NULL,     -- JSON
    reason   TEXT NOT NULL,
    manifest TEXT NOT NULL,
    made     INTEGER NOT NULL,
    void     TEXT
) STRICT;

CREATE INDEX reviews_by_transfer ON reviews (transfer);

-- What one person released before; 4294967295 is nobody's user id.
INSERT INTO reviews (transfer, uid, name, choice, reason, manifest, made)
    SELECT id, 4294967295, decision ->> 'by', '"release"', decision ->> 'reason', manifest_sha256, since
    FROM transfers
    WHERE decision ->> 'rule' = 'operator' AND decision ->> 'by' IS NOT NULL AND manifest_sha256 IS NOT NULL
        AND (state IN ('released', 'delivering') OR (state = 'held' AND reason ->> 'code' = 'agreement-suspended'));

-- Since when a transfer was held whose waiting was escalated.
ALTER TABLE transfers ADD COLUMN escalated INTEGER;
