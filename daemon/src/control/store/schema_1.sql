-- Times are seconds since 1970, digests lower-case hexadecimal, names and states the text of their types.

CREATE TABLE sources (
    name          TEXT PRIMARY KEY,
    identity      TEXT NOT NULL,      -- its signing key, an OpenSSH line
    enrolled      INTEGER NOT NULL,
    revoked       INTEGER,
    revoke_reason TEXT
) STRICT;

CREATE TABLE certificates (
    sha256    TEXT PRIMARY KEY,       -- of its DER
    source    TEXT NOT NULL REFERENCES sources (name),
    expires   INTEGER NOT NULL,
    withdrawn INTEGER                 -- replaced by a later enrolment
) STRICT;

CREATE TABLE invites (
    certificate TEXT PRIMARY KEY,     -- SHA-256 of the invite's certificate
    source      TEXT NOT NULL,
    token       TEXT NOT NULL,        -- SHA-256 of the secret
    issued      INTEGER NOT NULL,
    expires     INTEGER NOT NULL,
    used        INTEGER,
    withdrawn   INTEGER
) STRICT;

CREATE TABLE rooms (
    name   TEXT PRIMARY KEY,
    folder TEXT NOT NULL UNIQUE,
    names  TEXT NOT NULL,
    added  INTEGER NOT NULL
) STRICT;

CREATE TABLE agreements (
    id            TEXT PRIMARY KEY,
    text          TEXT NOT NULL,      -- as the operator gave it
    sha256        TEXT NOT NULL,
    checked       TEXT NOT NULL,      -- what was read from it, JSON
    added         INTEGER NOT NULL,
    revoked       INTEGER,
    revoke_reason TEXT
) STRICT;

-- The public halves of transfer identities; a row with a transfer is used up.
CREATE TABLE identities (
    recipient TEXT PRIMARY KEY,
    minted    INTEGER NOT NULL,
    transfer  TEXT UNIQUE
) STRICT;

CREATE TABLE transfers (
    id                 TEXT PRIMARY KEY,
    source             TEXT NOT NULL REFERENCES sources (name),
    agreement          TEXT NOT NULL REFERENCES agreements (id),
    room               TEXT NOT NULL REFERENCES rooms (name),
    dataset            TEXT NOT NULL,
    key                TEXT NOT NULL,
    plan_sha256        TEXT NOT NULL,
    plan_bytes         INTEGER NOT NULL,
    files              INTEGER NOT NULL,
    folders            INTEGER NOT NULL,
    bytes              INTEGER NOT NULL,
    identity           TEXT NOT NULL UNIQUE REFERENCES identities (recipient),
    state              TEXT NOT NULL,
    since              INTEGER NOT NULL,
    offered            INTEGER NOT NULL,
    durable            INTEGER NOT NULL DEFAULT 0,  -- chunks
    progressed         INTEGER NOT NULL,
    manifest_sha256    TEXT,                        -- these three: once the manifest was checked
    manifest_signature TEXT,
    chunk_list         TEXT,
    seal_refusal       TEXT,                        -- JSON: why the last seal failed
    report             TEXT,                        -- JSON, without findings
    findings           BLOB,                        -- JSON
    decision           TEXT,                        -- JSON
    reason             TEXT,                        -- JSON: what the source may know
    wrapped            BLOB,                        -- its identity, encrypted to …
    wrapped_to         TEXT,                        -- … this key of deliver's
    bag                TEXT,
    tagmanifest        TEXT,
    delivered          INTEGER,
    purge_after        INTEGER,
    UNIQUE (source, key)
) STRICT;

CREATE INDEX transfers_by_state ON transfers (state);
CREATE INDEX transfers_by_agreement ON transfers (agreement, state);

CREATE TABLE history (
    transfer TEXT NOT NULL REFERENCES transfers (id),
    number   INTEGER NOT NULL,
    state    TEXT NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (transfer, number)
) STRICT;

CREATE TABLE receipts (
    transfer  TEXT NOT NULL REFERENCES transfers (id),
    number    INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    statement TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (transfer, number)
) STRICT;

CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    line   TEXT NOT NULL
) STRICT;

-- One row: where the log ends, so that a lost tail shows at the next start.
CREATE TABLE audit_end (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    size INTEGER NOT NULL,
    root TEXT NOT NULL
) STRICT;

CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;

CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log only grows'); END;
