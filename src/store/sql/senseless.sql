-- A row that holds what is never written: a bit of it has turned. SQLite does not see that, and what reads the row fails.
-- `rebuild.sql` mends or leaves behind each of them.

SELECT 'meta ' || name FROM meta
WHERE (name IN ('next_seq', 'cursor_key') AND typeof(value) <> 'integer') OR (name = 'next_seq' AND value NOT BETWEEN 1 AND 1 << 62)
OR (name = 'pruned_to' AND (typeof(value) <> 'blob' OR length(value) <> 16))
UNION ALL
SELECT 'lane ' || id FROM lane
WHERE strategy NOT GLOB '[a-z]*' OR strategy GLOB '*[^a-z0-9_]*' OR length(strategy) > 32 OR min_battery NOT BETWEEN 0 AND 100
UNION ALL
SELECT 'account ' || id FROM account WHERE owner NOT BETWEEN 0 AND 4294967295
UNION ALL
SELECT 'task ' || seq FROM task
WHERE seq NOT BETWEEN 1 AND 1 << 62 OR length(id) <> 16 OR owner NOT BETWEEN 0 AND 4294967295
OR attempts NOT BETWEEN 0 AND 4294967295 OR crashes NOT BETWEEN 0 AND 4294967295 OR size NOT BETWEEN 0 AND 1 << 50
OR state NOT BETWEEN 0 AND 5
OR (state = 2 AND (status IS NULL OR status NOT BETWEEN 0 AND 65535 OR duplicate IS NULL))
OR (state = 3 AND (failure IS NULL OR failure NOT BETWEEN 1 AND 6))
OR (tags IS NOT NULL AND NOT iif(json_valid(tags), json_type(tags) = 'array', 0))
OR (tags IS NOT NULL AND json_valid(tags) AND EXISTS (SELECT 1 FROM json_each(tags) WHERE type <> 'text'))
LIMIT 1
