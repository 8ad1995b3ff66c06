-- Events, and what each consumer has dealt with.

CREATE TABLE event (
    -- AUTOINCREMENT: without it SQLite uses the highest pruned number again, and every saved position would lie.
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    -- Kinds are added over time, so there is no CHECK of the list; a test reads each one back.
    kind       TEXT    NOT NULL CHECK (kind <> ''),
    project_id INTEGER NOT NULL REFERENCES project (project_id),
    -- What the event is about, as far as it is about one. No foreign keys: events outlive pruned rows.
    ticket_id  INTEGER,
    stage      TEXT,
    attempt_id INTEGER,
    worker_id  INTEGER,
    -- One sentence.
    summary    TEXT    NOT NULL CHECK (summary <> '')
) STRICT;

-- list_events of one ticket.
CREATE INDEX event_ticket ON event (ticket_id, seq) WHERE ticket_id IS NOT NULL;
-- list_events by kind, and by project and kind.
CREATE INDEX event_kind ON event (kind, seq);
CREATE INDEX event_project_kind ON event (project_id, kind, seq);

-- How far a consumer has marked everything: at and below this number all is processed.
CREATE TABLE event_consumer (
    consumer        TEXT    PRIMARY KEY CHECK (consumer <> ''),
    processed_up_to INTEGER NOT NULL DEFAULT 0,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Single marks above that number.
CREATE TABLE event_mark (
    consumer TEXT    NOT NULL REFERENCES event_consumer (consumer),
    seq      INTEGER NOT NULL,
    PRIMARY KEY (consumer, seq)
) STRICT, WITHOUT ROWID;
