-- Whether the accepted work of a ticket changes what lands only after somebody agrees. It is looked at when the work is accepted,
-- and counts for that commit alone.
CREATE TABLE ticket_protection (
    ticket_id INTEGER PRIMARY KEY REFERENCES ticket (ticket_id),
    -- The accepted commit that was looked at. Where the ticket has another one by now, nothing is known.
    commit_id TEXT    NOT NULL CHECK (length(commit_id) >= 40),
    -- What it changes, as the reason of a hold; NULL when nothing is protected.
    reason    TEXT    CHECK (reason <> ''),
    -- When somebody agreed to that commit.
    agreed_at INTEGER CONSTRAINT agreed_to_something CHECK (agreed_at IS NULL OR reason IS NOT NULL)
) STRICT;
