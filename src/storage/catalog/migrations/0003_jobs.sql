-- Jobs that wait, pause and are cancelled: more states, which paths a job is about, and what it did not reach.
-- SQLite cannot change a CHECK in place. The rows come back into a new table before the commit, which is when the
-- references of batches and outcomes are counted.

PRAGMA defer_foreign_keys = ON;
CREATE TABLE jobs_kept AS SELECT * FROM jobs ORDER BY rowid;
DROP TABLE jobs;

CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    state         TEXT NOT NULL CHECK (state IN (
        'queued', 'running', 'paused', 'cancelling', 'succeeded', 'partial', 'failed', 'cancelled'
    )),
    epoch         INTEGER NOT NULL,     -- new with every run; writes under an old one change nothing
    incarnation   INTEGER,              -- of the run
    reason        TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    started_at    INTEGER,
    ended_at      INTEGER,
    seen          INTEGER NOT NULL DEFAULT 0,
    indexed       INTEGER NOT NULL DEFAULT 0,
    unchanged     INTEGER NOT NULL DEFAULT 0,
    skipped       INTEGER NOT NULL DEFAULT 0,
    failed        INTEGER NOT NULL DEFAULT 0,
    removed       INTEGER NOT NULL DEFAULT 0,
    unreached     INTEGER NOT NULL DEFAULT 0,   -- files that a cancelled job did not come to
    warnings      TEXT NOT NULL DEFAULT '',     -- one a line
    paths         BLOB                          -- joined by NUL, none below another; NULL: the whole tree
) STRICT;
CREATE INDEX jobs_repository ON jobs (repository_id, created_at);

INSERT INTO jobs (
    id, repository_id, state, epoch, incarnation, reason, created_at, started_at, ended_at,
    seen, indexed, unchanged, skipped, failed, removed
) SELECT
    id, repository_id, state, epoch, incarnation, reason, created_at, started_at, ended_at,
    seen, indexed, unchanged, skipped, failed, removed
FROM jobs_kept ORDER BY rowid;
DROP TABLE jobs_kept;
