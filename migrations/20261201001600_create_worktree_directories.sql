-- Which directory the worktree of a ticket is, as its file system knows it. An agent can put the worktree of another ticket
-- in the place of its own; the path is then the right one, and the work is the other ticket's. Absent for a worktree that was
-- made by an earlier version, and on file systems that do not say when a directory was made.
CREATE TABLE worktree_directory (
    ticket_id INTEGER PRIMARY KEY REFERENCES worktree (ticket_id),
    -- Its inode and when it was made: inodes are used again.
    identity  TEXT    NOT NULL UNIQUE CHECK (identity <> '')
) STRICT;
