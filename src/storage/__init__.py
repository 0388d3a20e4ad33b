"""What codetrove keeps: records, the catalog, the indexes that are projections of it, and who may write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.catalog import hits, visible
from storage.catalog.backup import stage_restore, take_in_restore, write_backup
from storage.catalog.check import CatalogFinding, check_catalog
from storage.catalog.collections import (
    CollectionRow,
    add_collection,
    collections,
    drop_retired,
    flip,
    kept_collections,
    retire,
)
from storage.catalog.connection import open_for_reading, open_for_writing, translated
from storage.catalog.damage import damage_mark, mark_damaged, set_aside
from storage.catalog.dump import canonical_dump
from storage.catalog.files import (
    POISON_DEATHS,
    Committed,
    Exclusion,
    Failure,
    FileChange,
    FileResult,
    FileVersion,
    NewChunks,
    NewText,
    Place,
    ReadAgain,
    Removal,
    count_death,
)
from storage.catalog.garbage import Collected, collect_garbage, last_deletion, trim_deletions
from storage.catalog.history import Incarnation, begin_incarnation, end_incarnation, judge_mark
from storage.catalog.hits import Definition, FoundChunk
from storage.catalog.job_acceptance import accept_job
from storage.catalog.job_paths import JobPaths
from storage.catalog.job_rows import JobRow, OutcomeRow, job_row, job_rows, outcomes_of, unfinished_jobs
from storage.catalog.jobs import (
    ENDED_STATES,
    JobOrigin,
    JobState,
    Run,
    Tally,
    cancel_queued,
    check_epoch,
    commit_batch,
    end_cancelled,
    end_run,
    open_batches,
    requeue_interrupted,
    set_job_state,
    start_run,
)
from storage.catalog.known import KnownCuts
from storage.catalog.migrations import SCHEMA_VERSION, migrate
from storage.catalog.overview import JobOverview, chunks_past, failed_files, overview_of
from storage.catalog.points import (
    PendingPoint,
    acknowledge_deleted,
    acknowledge_stored,
    deleting_points,
    expected_ids,
    mark_failed,
    pending_points,
    point_counts,
    raise_priority,
    retry_failed,
    want_again,
    want_all_again,
)
from storage.catalog.reader import KnownFile, Reader, StoredChunk, connect_for_reading, open_reader
from storage.catalog.repositories import (
    Repository,
    Root,
    accept_root,
    finish_scan,
    forget,
    register,
    repositories,
    repository_at,
)
from storage.catalog.visible import PlaceShown
from storage.catalog.writer import Given, Writer
from storage.closable_queue import ClosableQueue, QueueClosed
from storage.data_directory import DataDirectory, Ownership
from storage.errors import (
    BackupError,
    CatalogBusy,
    CatalogDamaged,
    CatalogError,
    CatalogMissing,
    CatalogTooNew,
    DataDirectoryInUse,
    DataDirectoryUnsuitable,
    DimensionMismatch,
    DiskFull,
    KeyReused,
    NestedRepository,
    StaleEpoch,
    StorageError,
    TextIndexError,
    UnknownRepository,
    VectorsRefused,
    VectorStoreDamaged,
    VectorStoreError,
    VectorStoreUnavailable,
)
from storage.faults import InjectedFault, reach
from storage.identity import external_id
from storage.outlines import pack_outline
from storage.records import (
    Chunk,
    Cut,
    FailReason,
    FileFlag,
    Section,
    SkipReason,
    Stat,
    Symbol,
    SymbolKind,
)
from storage.registry import (
    FlagChange,
    Registry,
    TokenRecord,
    change_registry,
    load_registry,
    save_registry,
    write_atomically,
)
from storage.starts import note_served, note_start
from storage.text import (
    TEXT_SCHEMA_VERSION,
    TextClause,
    TextDocument,
    TextField,
    TextHit,
    TextHits,
    TextIndex,
    TextQuery,
    Watermark,
)
from storage.texts import compress_text, expand_text
from storage.vectors import (
    Collection,
    CollectionSpec,
    PointPayload,
    StoreMarker,
    VectorBatch,
    VectorHits,
    Vectors,
    VectorStore,
    WeaviateOptions,
)

if TYPE_CHECKING:
    from storage.embedding_cache import EmbeddingCache
    from storage.vectors import LocalStore, MemoryStore, WeaviateStore

__all__ = [
    "ENDED_STATES",
    "POISON_DEATHS",
    "SCHEMA_VERSION",
    "TEXT_SCHEMA_VERSION",
    "BackupError",
    "CatalogBusy",
    "CatalogDamaged",
    "CatalogError",
    "CatalogFinding",
    "CatalogMissing",
    "CatalogTooNew",
    "Chunk",
    "ClosableQueue",
    "Collected",
    "Collection",
    "CollectionRow",
    "CollectionSpec",
    "Committed",
    "Cut",
    "DataDirectory",
    "DataDirectoryInUse",
    "DataDirectoryUnsuitable",
    "Definition",
    "DimensionMismatch",
    "DiskFull",
    "EmbeddingCache",
    "Exclusion",
    "FailReason",
    "Failure",
    "FileChange",
    "FileFlag",
    "FileResult",
    "FileVersion",
    "FlagChange",
    "FoundChunk",
    "Given",
    "Incarnation",
    "InjectedFault",
    "JobOrigin",
    "JobOverview",
    "JobPaths",
    "JobRow",
    "JobState",
    "KeyReused",
    "KnownCuts",
    "KnownFile",
    "LocalStore",
    "MemoryStore",
    "NestedRepository",
    "NewChunks",
    "NewText",
    "OutcomeRow",
    "Ownership",
    "PendingPoint",
    "Place",
    "PlaceShown",
    "PointPayload",
    "QueueClosed",
    "ReadAgain",
    "Reader",
    "Registry",
    "Removal",
    "Repository",
    "Root",
    "Run",
    "Section",
    "SkipReason",
    "StaleEpoch",
    "Stat",
    "StorageError",
    "StoreMarker",
    "StoredChunk",
    "Symbol",
    "SymbolKind",
    "Tally",
    "TextClause",
    "TextDocument",
    "TextField",
    "TextHit",
    "TextHits",
    "TextIndex",
    "TextIndexError",
    "TextQuery",
    "TokenRecord",
    "UnknownRepository",
    "VectorBatch",
    "VectorHits",
    "VectorStore",
    "VectorStoreDamaged",
    "VectorStoreError",
    "VectorStoreUnavailable",
    "Vectors",
    "VectorsRefused",
    "Watermark",
    "WeaviateOptions",
    "WeaviateStore",
    "Writer",
    "accept_job",
    "accept_root",
    "acknowledge_deleted",
    "acknowledge_stored",
    "add_collection",
    "begin_incarnation",
    "cancel_queued",
    "canonical_dump",
    "change_registry",
    "check_catalog",
    "check_epoch",
    "chunks_past",
    "collect_garbage",
    "collections",
    "commit_batch",
    "compress_text",
    "connect_for_reading",
    "count_death",
    "damage_mark",
    "deleting_points",
    "drop_retired",
    "end_cancelled",
    "end_incarnation",
    "end_run",
    "expand_text",
    "expected_ids",
    "external_id",
    "failed_files",
    "finish_scan",
    "flip",
    "forget",
    "hits",
    "job_row",
    "job_rows",
    "judge_mark",
    "kept_collections",
    "last_deletion",
    "load_registry",
    "mark_damaged",
    "mark_failed",
    "migrate",
    "note_served",
    "note_start",
    "open_batches",
    "open_for_reading",
    "open_for_writing",
    "open_reader",
    "outcomes_of",
    "overview_of",
    "pack_outline",
    "pending_points",
    "point_counts",
    "raise_priority",
    "reach",
    "register",
    "repositories",
    "repository_at",
    "requeue_interrupted",
    "retire",
    "retry_failed",
    "save_registry",
    "set_aside",
    "set_job_state",
    "stage_restore",
    "start_run",
    "take_in_restore",
    "translated",
    "trim_deletions",
    "unfinished_jobs",
    "visible",
    "want_again",
    "want_all_again",
    "write_atomically",
    "write_backup",
]


_LOADED_LATE = dict.fromkeys(("LocalStore", "MemoryStore", "WeaviateStore"), "storage.vectors")
_LOADED_LATE["EmbeddingCache"] = "storage.embedding_cache"


def __getattr__(name: str) -> Any:
    """Load what needs numpy and more when it is first asked for: commands that touch no vectors do not pay."""
    from importlib import import_module  # noqa: PLC0415 - a name here would be public

    if name not in _LOADED_LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LOADED_LATE[name]), name)
