-- How far a consumer has dealt with a part of the events: those of a project, of a kind, of a ticket.
--
-- A session marks what it has read, which is what its filter let through. A row for each event would grow for ever; one for
-- each filter does not.
CREATE TABLE event_watermark (
    consumer   TEXT    NOT NULL REFERENCES event_consumer (consumer),
    -- 0: of every ticket.
    ticket_id  INTEGER NOT NULL CHECK (ticket_id >= 0),
    -- 0: of every project.
    project_id INTEGER NOT NULL CHECK (project_id >= 0),
    -- '': of every kind.
    kind       TEXT    NOT NULL,
    -- At and below this number, all of that part is processed.
    up_to      INTEGER NOT NULL,
    PRIMARY KEY (consumer, ticket_id, project_id, kind)
) STRICT, WITHOUT ROWID;

-- Retention: those that lie before the oldest event.
CREATE INDEX event_watermark_up_to ON event_watermark (up_to);
