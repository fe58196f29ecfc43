-- JSON: that a transfer is not purged, by whom and why.
ALTER TABLE transfers ADD COLUMN retained TEXT;
