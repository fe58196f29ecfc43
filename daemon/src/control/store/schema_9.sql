-- By which key a room acknowledges what was delivered there: an OpenSSH public key line.
ALTER TABLE rooms ADD COLUMN key TEXT;
-- JSON: the room's own signed word that it has the dataset.
ALTER TABLE transfers ADD COLUMN acknowledgement TEXT;
-- When the *acknowledged* receipt was laid beside the bag.
ALTER TABLE transfers ADD COLUMN acknowledged_laid INTEGER;
-- The age recipient to which what is delivered there is encrypted.
ALTER TABLE rooms ADD COLUMN recipient TEXT;
-- JSON: that a delivery which was begun is to be taken back, by whom and why.
ALTER TABLE transfers ADD COLUMN withdrawal TEXT;
