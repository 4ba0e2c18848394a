-- Schema 1: the queue.
--
-- Times are microseconds since the epoch. A column that most tasks do not need is NULL there and costs one byte.
-- An index that most tasks do not need is partial, so that a task that goes through at once is never in it.

-- What the store knows of itself: cursor_key (random, makes cursors of this database recognisable), next_seq (one more
-- than the greatest seq that was ever deleted), pruned_to (the greatest id that was ever pruned).
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- What the daemon keeps across restarts, such as an admin's pause.
CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A strategy plus the conditions that tasks override (NULL: not overridden). Rows are only ever added.
CREATE TABLE lane (
    id INTEGER PRIMARY KEY,
    strategy TEXT NOT NULL,
    network TEXT,
    charging INTEGER,
    min_battery INTEGER
) STRICT;

-- The same rows again, on a page of their own. Without its lane no task can be used, and all lanes stand on one page:
-- a salvage takes them from here if that page is damaged.
CREATE TABLE lane_spare (
    id INTEGER PRIMARY KEY,
    strategy TEXT NOT NULL,
    network TEXT,
    charging INTEGER,
    min_battery INTEGER
) STRICT;

-- What one app of one owner has in one lane. Every counter that anybody asks for is a sum over these rows: a lane's and
-- a strategy's counts, an owner's and an app's usage. A transaction writes each row that it touches once. What is
-- running counts as pending here, which it is after a restart, so that a claim changes no counter.
CREATE TABLE account (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    app TEXT NOT NULL,
    lane INTEGER NOT NULL,
    pending INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    -- Pending tasks that wait for no other task.
    waiting INTEGER NOT NULL DEFAULT 0,
    -- Payload bytes of what is pending or failed.
    bytes INTEGER NOT NULL DEFAULT 0,
    -- Rows of `task` in any state.
    kept INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX account_of ON account (owner, app, lane);

CREATE TABLE task (
    -- The order of enqueue. The writer draws it; a number is never used again.
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    owner INTEGER NOT NULL,
    account INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    -- 0 pending, 1 running, 2 done, 3 failed, 4 cancelled, 5 withdrawn: cancelled while its attempt still runs.
    state INTEGER NOT NULL DEFAULT 0,
    -- Pending: 1 = another task of its key goes first.
    behind INTEGER NOT NULL DEFAULT 0,
    -- Pending: how many tasks of `after` are still to be done.
    deps INTEGER NOT NULL DEFAULT 0,
    -- Attempts that the server answered and asked to repeat.
    attempts INTEGER NOT NULL DEFAULT 0,
    -- How often in a row the daemon started and found it running.
    crashes INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    -- Running: when its attempt started. Ended: when.
    since INTEGER,
    expires INTEGER,
    -- The payload's bytes.
    size INTEGER NOT NULL,
    -- NULL: too large to be copied with each change of the row; see `payload`.
    payload TEXT,
    key TEXT,
    -- A JSON array of strings.
    tags TEXT,
    -- The ids as given, 16 bytes each.
    after BLOB,
    -- Failed: the kind's number, and its words. Done: the answer's body, status, and whether the server had it already.
    failure INTEGER,
    words TEXT,
    status INTEGER,
    duplicate INTEGER,
    -- What the last attempt without success brought.
    last_error TEXT
) STRICT;

CREATE UNIQUE INDEX task_id ON task (id);

-- What a claim scans: one lane, from the earliest due. What waits for another task is not here, and what is not yet
-- due lies behind the end of the scan.
CREATE INDEX ready ON task (lane, due) WHERE state = 0 AND behind = 0 AND deps = 0;

-- What a start must look at.
CREATE INDEX busy ON task (state) WHERE state IN (1, 5);

-- What is pruned, oldest first.
CREATE INDEX ended ON task (since) WHERE state IN (2, 4);

-- What expires next.
CREATE INDEX expiring ON task (expires) WHERE expires IS NOT NULL AND state = 0;

-- What waits after an attempt that the server answered.
CREATE INDEX backoff ON task (due) WHERE state = 0 AND attempts > 0;

-- Who stands under one key, the one that runs and those that wait.
CREATE INDEX keyed ON task (owner, key, state) WHERE key IS NOT NULL AND state IN (0, 1, 5);

-- Payloads that are not in their task's row.
CREATE TABLE payload (
    task INTEGER PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

-- `task` is pending and waits until `on_task` is done.
CREATE TABLE dependency (
    on_task INTEGER NOT NULL,
    task INTEGER NOT NULL,
    PRIMARY KEY (on_task, task)
) STRICT, WITHOUT ROWID;

-- The `request_id`s of an owner: which task answered it, and a hash of what was asked.
CREATE TABLE request (
    owner INTEGER NOT NULL,
    name TEXT NOT NULL,
    task INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX request_of ON request (task);

-- The last lines of a task's history; a task that goes through at once has none.
CREATE TABLE history (
    task INTEGER NOT NULL,
    line INTEGER NOT NULL,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (task, line)
) STRICT, WITHOUT ROWID;
