-- Rooms that are no folder of this host, and how what was delivered there was stored: JSON.
ALTER TABLE rooms ADD COLUMN elsewhere TEXT;
ALTER TABLE transfers ADD COLUMN stored TEXT;
