-- What keeps an attempt from its end although its shim lives, as the shim tells it: processes that do not die, a record
-- that cannot be written. For people; NULL when nothing does, and once it has ended.
ALTER TABLE attempt ADD COLUMN trouble TEXT
    CONSTRAINT trouble_says_something CHECK (trouble <> '');
