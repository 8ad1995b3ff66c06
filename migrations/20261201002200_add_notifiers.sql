-- Notifiers: who is notified of events outside of this server, and how far each of them is.

CREATE TABLE notifier (
    notifier_id   INTEGER PRIMARY KEY,
    -- As in the configuration.
    name          TEXT    NOT NULL UNIQUE CHECK (name <> ''),
    -- 0 after it was removed from the configuration. Its row stays, so that it continues where it was if it comes back.
    is_configured INTEGER NOT NULL DEFAULT 1
        CONSTRAINT is_configured_is_a_flag CHECK (is_configured IN (0, 1)),
    -- Up to this event, all were delivered or are none of its own. A new one begins at the newest event.
    cursor        INTEGER NOT NULL,
    -- The message that is being delivered: its id, and its events as a list of numbers. Each try sends the same one, also after
    -- a crash, so that a receiver can tell what it has. NULL when there is none.
    message_id    TEXT,
    sending       TEXT,
    -- Failed tries of that message.
    tries         INTEGER NOT NULL DEFAULT 0 CONSTRAINT tries_are_counted CHECK (tries >= 0),
    -- The next try waits until then.
    not_before    INTEGER NOT NULL DEFAULT 0,
    -- Why the last try failed, and when the first of them did.
    error         TEXT,
    failing_since INTEGER,
    -- It failed too often, and waits for somebody.
    paused_at     INTEGER,
    delivered_at  INTEGER,
    CONSTRAINT a_message_has_an_id CHECK ((message_id IS NULL) = (sending IS NULL)),
    CONSTRAINT a_failure_has_a_reason CHECK ((error IS NULL) = (failing_since IS NULL)),
    CONSTRAINT a_paused_notifier_failed CHECK (paused_at IS NULL OR failing_since IS NOT NULL)
) STRICT;
