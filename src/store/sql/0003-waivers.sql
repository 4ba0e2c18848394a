-- Schema 3: what people waive of the conditions of tasks that wait (`SyncNow` with overrides): the lane's block reasons
-- that do not count, with commas between. A lane without a row waives nothing. A salvage leaves these rows behind: the
-- tasks then wait for all their conditions again.
CREATE TABLE waiver (
    lane INTEGER PRIMARY KEY,
    waived TEXT NOT NULL
) STRICT;
