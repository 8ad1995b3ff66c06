-- Whose call caused an event: the consumer of the session that made it. A session is not woken by what it did itself.

-- NULL: nobody's that has a consumer of its own, so an agent's, an operator's or the server's.
ALTER TABLE event ADD COLUMN caused_by TEXT CONSTRAINT caused_by_is_a_name CHECK (caused_by <> '');
