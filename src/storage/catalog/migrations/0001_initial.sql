-- The catalog: the truth that every index is a projection of.
-- Times are milliseconds since 1970 (UTC) unless the name says ns. Paths are raw bytes relative to a repository's root.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row a start of an owner. Text watermark and store markers name the uuid: an unknown one is a foreign history.
CREATE TABLE incarnations (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid           TEXT NOT NULL UNIQUE,
    started_at     INTEGER NOT NULL,
    first_chunk_id INTEGER NOT NULL,
    first_deletion INTEGER NOT NULL,
    stopped_at     INTEGER            -- NULL: running, or not stopped cleanly
) STRICT;

CREATE TABLE repositories (
    id             INTEGER PRIMARY KEY,
    uuid           TEXT NOT NULL UNIQUE,
    root           BLOB UNIQUE,            -- absolute, no trailing slash; NULL once forgotten
    root_device    INTEGER NOT NULL,
    root_inode     INTEGER NOT NULL,
    boot_id        TEXT NOT NULL,          -- root_device means something only within this boot
    git_common_dir BLOB,
    rules          TEXT NOT NULL DEFAULT '',  -- fingerprint of the discovery rules of the last complete scan
    created_at     INTEGER NOT NULL,
    scanned_at     INTEGER                 -- end of the last complete scan
) STRICT;

-- kind 'worktree' changes in place; kind 'commit' never changes and is invisible until complete.
CREATE TABLE snapshots (
    id            INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    kind          TEXT NOT NULL CHECK (kind IN ('worktree', 'commit')),
    name          TEXT NOT NULL,
    complete      INTEGER NOT NULL,
    UNIQUE (repository_id, kind, name)
) STRICT;

CREATE TABLE blobs (
    id      INTEGER PRIMARY KEY,
    sha256  BLOB NOT NULL UNIQUE,
    git_oid BLOB,
    size    INTEGER NOT NULL              -- bytes
) STRICT;

CREATE TABLE texts (
    id         INTEGER PRIMARY KEY,
    blob_id    INTEGER NOT NULL REFERENCES blobs (id),
    extractor  INTEGER NOT NULL,          -- version
    encoding   TEXT NOT NULL,
    size       INTEGER NOT NULL,          -- bytes of UTF-8 before compression
    body       BLOB NOT NULL,             -- zstd with checksum
    sections   TEXT NOT NULL DEFAULT '',  -- JSON [[label, start_line], …]: notebook cells, pages
    UNIQUE (blob_id, extractor)
) STRICT;

CREATE TABLE cuts (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,  -- the text index names it: never reused
    repository_id    INTEGER NOT NULL REFERENCES repositories (id),
    text_id          INTEGER NOT NULL REFERENCES texts (id),
    language         TEXT NOT NULL,
    cutter           TEXT NOT NULL,       -- version
    imports          TEXT NOT NULL,       -- one a line
    unshown_since    INTEGER,             -- NULL while an entry shows it; else when the last one ceased to
    UNIQUE (text_id, repository_id, language, cutter)
) STRICT;
CREATE INDEX cuts_unshown ON cuts (unshown_since) WHERE unshown_since IS NOT NULL;
CREATE INDEX cuts_repository ON cuts (repository_id);

CREATE TABLE chunks (
    chunk_id    INTEGER PRIMARY KEY AUTOINCREMENT,   -- never reused
    cut_id      INTEGER NOT NULL REFERENCES cuts (id),
    external_id BLOB NOT NULL UNIQUE,                -- 16 bytes, the same on every machine
    start_byte  INTEGER NOT NULL,                    -- of the text
    end_byte    INTEGER NOT NULL,
    start_line  INTEGER NOT NULL,                    -- 1-based, inclusive
    end_line    INTEGER NOT NULL,
    symbol      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    scope       TEXT NOT NULL
) STRICT;
CREATE INDEX chunks_cut ON chunks (cut_id);

-- Signatures, docstrings and every definition (name, kind, own lines, scope) of a cut's chunks, packed. Definitions are
-- found by name through the text index, which holds the names as terms.
CREATE TABLE outlines (
    cut_id         INTEGER PRIMARY KEY REFERENCES cuts (id),
    first_chunk_id INTEGER NOT NULL,                 -- the chunks of a cut have consecutive ids
    body           BLOB NOT NULL
) STRICT;

CREATE TABLE entries (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    snapshot_id INTEGER NOT NULL REFERENCES snapshots (id),
    path        BLOB NOT NULL,
    blob_id     INTEGER NOT NULL REFERENCES blobs (id),
    cut_id      INTEGER NOT NULL REFERENCES cuts (id),
    language    TEXT NOT NULL,
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    ctime_ns    INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    read_at_ns  INTEGER NOT NULL,     -- wall clock when the content was read, for the racy rule
    flags       TEXT NOT NULL,        -- sorted, joined by ','
    seq         INTEGER NOT NULL,     -- new with every change of this row
    UNIQUE (snapshot_id, path)
) STRICT;
CREATE INDEX entries_cut ON entries (cut_id);
CREATE INDEX entries_blob ON entries (blob_id);

-- Files looked into and left out for what they contain; remembered so that they are not read again.
CREATE TABLE exclusions (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots (id),
    path        BLOB NOT NULL,
    reason      TEXT NOT NULL,
    rules       TEXT NOT NULL,        -- fingerprint of the rules that decided
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    ctime_ns    INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    read_at_ns  INTEGER NOT NULL,
    PRIMARY KEY (snapshot_id, path)
) STRICT, WITHOUT ROWID;

-- Files that killed their worker. deaths >= 3 is poison: set aside until the content changes.
CREATE TABLE suspects (
    snapshot_id INTEGER NOT NULL REFERENCES snapshots (id),
    path        BLOB NOT NULL,
    deaths      INTEGER NOT NULL,
    size        INTEGER NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    ctime_ns    INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    PRIMARY KEY (snapshot_id, path)
) STRICT, WITHOUT ROWID;

-- Words of paths, by entry; the only place beside entries where paths live.
CREATE VIRTUAL TABLE path_words USING fts5 (words);   -- rowid = entries.id

CREATE TABLE collections (
    id          INTEGER PRIMARY KEY,
    store       TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    dimension   INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('building', 'serving', 'retired')),
    name        TEXT NOT NULL UNIQUE
) STRICT;

-- What each vector collection should hold. A change of the wanted state takes a new seq; an acknowledgement names the one it saw.
CREATE TABLE points (
    collection_id INTEGER NOT NULL REFERENCES collections (id),
    chunk_id      INTEGER NOT NULL,          -- of chunks; no foreign key: it would want an index of its own
    state         TEXT NOT NULL CHECK (state IN ('pending', 'stored', 'deleting', 'failed')),
    reason        TEXT NOT NULL DEFAULT '',
    seq           INTEGER NOT NULL,
    priority      INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (collection_id, chunk_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX points_todo ON points (collection_id, state, priority DESC, chunk_id DESC) WHERE state <> 'stored';

-- Chunks that are gone, for the text index to follow; trimmed behind its watermark.
CREATE TABLE deletions (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk_id INTEGER NOT NULL
) STRICT;

CREATE TABLE jobs (
    id            TEXT PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled')),
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
    removed       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_repository ON jobs (repository_id, created_at);

-- The batches in hand: intent, recorded before any work. What a dead run left here is retried file by file.
CREATE TABLE batches (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id   TEXT NOT NULL REFERENCES jobs (id),
    epoch    INTEGER NOT NULL,
    paths    BLOB NOT NULL            -- joined by NUL
) STRICT;
CREATE INDEX batches_job ON batches (job_id);

CREATE TABLE outcomes (
    job_id  TEXT NOT NULL REFERENCES jobs (id),
    path    BLOB NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('indexed', 'skipped', 'failed', 'removed')),
    reason  TEXT NOT NULL,
    detail  TEXT NOT NULL,
    PRIMARY KEY (job_id, path)
) STRICT, WITHOUT ROWID;

-- One counter for every seq.
CREATE TABLE sequence (
    value INTEGER NOT NULL
) STRICT;
INSERT INTO sequence VALUES (0);
