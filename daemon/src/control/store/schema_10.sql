-- JSON: what of the dataset a person would release who leaves files out; and what of it was released.
ALTER TABLE reviews ADD COLUMN part TEXT;
ALTER TABLE transfers ADD COLUMN part TEXT;
-- The room out of which a source exports, and for which it was invited.
ALTER TABLE sources ADD COLUMN room TEXT;
ALTER TABLE invites ADD COLUMN room TEXT;
