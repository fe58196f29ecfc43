-- JSON: that a transfer carries the difference from another version of its dataset.
ALTER TABLE transfers ADD COLUMN delta TEXT;
-- Versions of a dataset follow one another.
CREATE INDEX transfers_by_dataset ON transfers (source, agreement, dataset);
-- When its bag was removed from its room, since newer versions stand there.
ALTER TABLE transfers ADD COLUMN removed INTEGER;
-- Bags that stand in rooms.
CREATE INDEX transfers_in_room ON transfers (agreement, id) WHERE delivered IS NOT NULL AND removed IS NULL;
