-- JSON: that an agreement is suspended, since when, by whom and why.
ALTER TABLE agreements ADD COLUMN suspended TEXT;
-- Days before its end that the journal has named: the narrowest of them.
ALTER TABLE agreements ADD COLUMN ending_told INTEGER;
