-- What proves that a process, a lock file or a record belongs to this server: files can be removed, replaced, copied or
-- forged by whoever runs as the same user, and a copy of a database has every id of the original.

-- One row: the state directory this database is used in. Written at the first start in it.
CREATE TABLE place (
    place_row         INTEGER PRIMARY KEY CHECK (place_row = 1),
    -- Random. Marks every process of an attempt beside the database's own id, so that a copy of the database in another
    -- directory never takes the original's processes for its own.
    place_id          TEXT    NOT NULL CHECK (length(place_id) >= 16),
    -- The directory, and what the kernel calls it. A directory is the same while its inode and either its path or its
    -- device are; a device may have another number after a reboot.
    path              TEXT    NOT NULL CHECK (path LIKE '/%'),
    device            INTEGER NOT NULL,
    inode             INTEGER NOT NULL,
    -- Attempts up to this number were granted while the database was used elsewhere: nothing that runs is theirs.
    granted_elsewhere INTEGER NOT NULL DEFAULT 0 CHECK (granted_elsewhere >= 0)
) STRICT;

-- What a shim says of itself in its first hello, over the link that its token has opened. Never changed: whoever comes with
-- the same token and other traces is another process. Shims of earlier builds have no row.
CREATE TABLE worker_trace (
    worker_id     INTEGER PRIMARY KEY REFERENCES worker (worker_id),
    -- The process: its id as this server sees it, when it was started in clock ticks since boot, and which boot that was.
    pid           INTEGER NOT NULL,
    started_ticks INTEGER,
    boot_id       TEXT,
    -- The inode of the lock file it holds; a lock on any other file says nothing.
    lock_inode    INTEGER,
    -- The Ed25519 public key of its exit records, in hexadecimal digits. A record that it has not signed is none of it.
    seal_key      TEXT,
    -- The control group of its own unit, as JSON; NULL when it has none.
    unit          TEXT    CHECK (unit IS NULL OR json_type(unit) = 'object')
) STRICT;
