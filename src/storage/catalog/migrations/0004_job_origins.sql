-- Who asked for a job, and the keys by which a request that is sent again finds the job it made.

ALTER TABLE jobs ADD COLUMN origin TEXT NOT NULL DEFAULT 'request'
    CHECK (origin IN ('request', 'watch', 'scan', 'start'));

-- A job that several requests joined has several keys.
CREATE TABLE job_keys (
    key           TEXT PRIMARY KEY,
    job_id        TEXT NOT NULL REFERENCES jobs (id),
    repository_id INTEGER NOT NULL,
    paths         BLOB NOT NULL,        -- what that request asked for; empty: the whole tree
    made_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX job_keys_job ON job_keys (job_id);
