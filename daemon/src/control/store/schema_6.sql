-- Each text that an agreement had, has or is to have. `agreements` has the one in force, once there was one.
CREATE TABLE agreement_versions (
    agreement    TEXT NOT NULL,
    number       INTEGER NOT NULL,  -- from 1
    text         TEXT NOT NULL,
    head         TEXT NOT NULL,     -- JSON: what is known of it, complete or not
    lacks        TEXT NOT NULL,     -- JSON: what it cannot be in force without
    added        INTEGER NOT NULL,
    author       TEXT,              -- JSON: who wrote it; not known of what was added before there were versions
    reason       TEXT,              -- why it was changed
    activated    INTEGER,
    activated_by TEXT,              -- JSON: who put it in force
    PRIMARY KEY (agreement, number)
) STRICT;

INSERT INTO agreement_versions (agreement, number, text, head, lacks, added, activated)
    SELECT id, 1, text,
        json_object('id', id, 'title', checked ->> 'title', 'from', checked ->> 'from', 'to', checked ->> 'to',
            'valid_from', checked ->> 'valid_from', 'valid_to', checked ->> 'valid_to'),
        '[]', added, added
    FROM agreements;
