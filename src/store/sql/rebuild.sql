-- After a salvage: makes the tables agree with one another again. What is carried over are rows; what follows from rows
-- (who waits for whom, the counters) is worked out anew.

-- What is never written (`senseless.sql`) is not believed, whether a bit of it turned or it was read in the wrong place.
DELETE FROM meta WHERE name IN ('next_seq', 'cursor_key') AND typeof(value) <> 'integer';
DELETE FROM meta WHERE name = 'pruned_to' AND (typeof(value) <> 'blob' OR length(value) <> 16);
DELETE FROM meta WHERE name = 'next_seq' AND value NOT BETWEEN 1 AND 1 << 62;
DELETE FROM lane
WHERE strategy NOT GLOB '[a-z]*' OR strategy GLOB '*[^a-z0-9_]*' OR length(strategy) > 32 OR min_battery NOT BETWEEN 0 AND 100;
DELETE FROM lane_spare
WHERE strategy NOT GLOB '[a-z]*' OR strategy GLOB '*[^a-z0-9_]*' OR length(strategy) > 32 OR min_battery NOT BETWEEN 0 AND 100;
DELETE FROM account WHERE owner NOT BETWEEN 0 AND 4294967295;

INSERT OR IGNORE INTO lane SELECT * FROM lane_spare;
INSERT OR IGNORE INTO lane_spare SELECT * FROM lane;

-- A task without its lane or its owner, or one still to be sent without its payload, cannot be used.
DELETE FROM task
WHERE state NOT BETWEEN 0 AND 5 OR length(id) <> 16 OR lane NOT IN (SELECT id FROM lane)
OR owner NOT BETWEEN 0 AND 4294967295 OR seq NOT BETWEEN 1 AND 1 << 62;
DELETE FROM task WHERE payload IS NULL AND state IN (0, 1, 3) AND seq NOT IN (SELECT task FROM payload);

-- It can be done without the rest: it is counted from the start, has no tags, and is as large as what there is of it. How it
-- ended is not known any more.
UPDATE task SET attempts = 0 WHERE attempts NOT BETWEEN 0 AND 4294967295;
UPDATE task SET crashes = 0 WHERE crashes NOT BETWEEN 0 AND 4294967295;
UPDATE task SET size = coalesce(length(CAST(payload AS BLOB)), (SELECT length(CAST(body AS BLOB)) FROM payload WHERE task = seq), 0)
WHERE size NOT BETWEEN 0 AND 1 << 50;
UPDATE task SET tags = NULL WHERE NOT iif(json_valid(tags), json_type(tags) = 'array', 0);
UPDATE task SET tags = NULL WHERE EXISTS (SELECT 1 FROM json_each(tags) WHERE type <> 'text');
UPDATE task SET status = 0 WHERE state = 2 AND (status IS NULL OR status NOT BETWEEN 0 AND 65535);
UPDATE task SET duplicate = 0 WHERE state = 2 AND duplicate IS NULL;
UPDATE task SET failure = 6 WHERE state = 3 AND (failure IS NULL OR failure NOT BETWEEN 1 AND 6);

DELETE FROM payload WHERE task NOT IN (SELECT seq FROM task);
DELETE FROM history WHERE task NOT IN (SELECT seq FROM task);
DELETE FROM request WHERE task NOT IN (SELECT seq FROM task);

-- A task whose account is lost keeps its owner and its lane; its app is not known any more.
INSERT OR IGNORE INTO account (owner, app, lane)
SELECT DISTINCT owner, '', lane FROM task
WHERE NOT EXISTS (SELECT 1 FROM account WHERE id = task.account AND owner = task.owner AND lane = task.lane);

UPDATE task SET account = (SELECT id FROM account WHERE owner = task.owner AND app = '' AND lane = task.lane)
WHERE NOT EXISTS (SELECT 1 FROM account WHERE id = task.account AND owner = task.owner AND lane = task.lane);

-- `after` holds 16 bytes an id. One that is lost counts as done, as one that was pruned does.
DELETE FROM dependency;

INSERT OR IGNORE INTO dependency (on_task, task)
WITH RECURSIVE wanted (task, owner, id, rest) AS (
    SELECT seq, owner, substr(after, 1, 16), substr(after, 17) FROM task WHERE after IS NOT NULL AND state = 0
    UNION ALL
    SELECT task, owner, substr(rest, 1, 16), substr(rest, 17) FROM wanted WHERE length(rest) >= 16
)
SELECT task.seq, wanted.task FROM wanted
JOIN task ON task.id = wanted.id AND task.owner = wanted.owner AND task.seq <> wanted.task
WHERE task.state IN (0, 1, 3);

UPDATE task SET deps = 0 WHERE deps <> 0;
UPDATE task SET deps = waiting.deps
FROM (SELECT task, count(*) AS deps FROM dependency GROUP BY task) AS waiting
WHERE waiting.task = task.seq;

UPDATE task SET behind = 0 WHERE behind <> 0;
UPDATE task SET behind = EXISTS (
    SELECT 1 FROM task AS other INDEXED BY keyed
    WHERE other.owner = task.owner AND other.key = task.key AND other.key IS NOT NULL AND other.state IN (0, 1, 5)
    AND (other.state > 0 OR other.seq < task.seq)
)
WHERE state = 0 AND key IS NOT NULL;

UPDATE account SET pending = 0, failed = 0, waiting = 0, bytes = 0, kept = 0;
UPDATE account SET
    pending = sums.pending, failed = sums.failed, waiting = sums.waiting, bytes = sums.bytes, kept = sums.kept
FROM (
    SELECT account, sum(state IN (0, 1)) AS pending, sum(state = 3) AS failed,
           sum(state = 1 OR (state = 0 AND behind = 0 AND deps = 0)) AS waiting, sum(iif(state IN (0, 1, 3), size, 0)) AS bytes,
           count(*) AS kept
    FROM task GROUP BY account
) AS sums
WHERE sums.account = account.id;
DELETE FROM account WHERE kept = 0;
