-- Schema 2: files. A task's `payload` is JSON text, or `file ` and the description of what lies in the spool.

-- What an attempt keeps for the next one, such as the URL of an upload. A salvage leaves it behind: the file then goes up
-- anew, and the server drops the old part when it expires there.
CREATE TABLE note (
    task INTEGER PRIMARY KEY,
    backend TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;

-- Notes of tasks that were cancelled: what they began at a backend is to be ended there.
CREATE TABLE abandoned (
    id INTEGER PRIMARY KEY,
    backend TEXT NOT NULL,
    body TEXT NOT NULL
) STRICT;
