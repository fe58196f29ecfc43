-- JSON: what may be left in a room elsewhere of a delivery that was given up, since the room could not be reached.
ALTER TABLE transfers ADD COLUMN remains TEXT;
