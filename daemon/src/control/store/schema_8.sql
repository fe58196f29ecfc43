-- How many transfers entered each state, ever, and with how many bytes: what rates are made of. Transfers that are gone stay counted.
CREATE TABLE entered (
    state     TEXT NOT NULL,
    source    TEXT NOT NULL,
    agreement TEXT NOT NULL,
    transfers INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (state, source, agreement)
) STRICT, WITHOUT ROWID;

INSERT INTO entered
    SELECT history.state, source, agreement, count(*), sum(bytes)
    FROM history JOIN transfers ON transfers.id = history.transfer
    GROUP BY history.state, source, agreement;

CREATE TRIGGER entered_state AFTER INSERT ON history BEGIN
    INSERT INTO entered SELECT NEW.state, source, agreement, 1, bytes FROM transfers WHERE id = NEW.transfer
        ON CONFLICT DO UPDATE SET transfers = transfers + 1, bytes = bytes + excluded.bytes;
END
