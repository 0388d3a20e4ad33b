"""Every error that ``storage`` raises on purpose.

StorageError
├── DataDirectoryInUse          another process owns the data directory
├── DataDirectoryUnsuitable     read-only, a network file system, open to others
├── CatalogError
│   ├── CatalogMissing          nothing has been indexed yet
│   ├── CatalogDamaged          SQLite found it corrupt, or it is no catalog
│   ├── CatalogTooNew           written by a newer codetrove
│   ├── CatalogBusy             another process holds its lock for too long
│   └── DiskFull                no room for a write; nothing of it was kept
├── StaleEpoch                  a write for a run of a job that is over
├── UnknownRepository
├── KeyReused                   an idempotency key of a job about something else
├── NestedRepository
├── BackupError                 a backup file that cannot be written, read or trusted
├── TextIndexError              the text index cannot be read or written
└── VectorStoreError
    ├── VectorStoreUnavailable  it cannot be reached, is locked, full or closed: nothing is known of what it holds
    ├── VectorStoreDamaged      what it holds cannot be trusted: drop the collection and fill it again
    ├── VectorsRefused          ids, vectors or a query that no store can take
    └── DimensionMismatch       vectors of another length than the collection's
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of all errors of this package."""


class DataDirectoryInUse(StorageError):
    """Another process owns the data directory."""


class DataDirectoryUnsuitable(StorageError):
    """The data directory cannot hold an index safely."""


class CatalogError(StorageError):
    """The catalog cannot do what was asked."""


class CatalogMissing(CatalogError):
    """There is no catalog in the data directory yet."""


class CatalogDamaged(CatalogError):
    """The catalog is corrupt."""


class CatalogTooNew(CatalogError):
    """The catalog was written by a newer version of codetrove."""


class CatalogBusy(CatalogError):
    """Another process keeps the catalog locked."""


class DiskFull(CatalogError):
    """There is no room left for a write."""


class StaleEpoch(StorageError):
    """The run of the job that this write belongs to is over."""


class UnknownRepository(StorageError):
    """No such repository is registered."""


class KeyReused(StorageError):
    """The idempotency key belongs to a job about something else."""


class NestedRepository(StorageError):
    """The root lies inside a registered repository."""


class BackupError(StorageError):
    """The backup cannot be written, read or trusted."""


class TextIndexError(StorageError):
    """The text index cannot be read or written."""


class VectorStoreError(StorageError):
    """The vector store cannot do what was asked."""


class VectorStoreUnavailable(VectorStoreError):
    """The vector store does not answer, is locked, has no room or is closed; what it holds is unknown, not gone."""


class VectorStoreDamaged(VectorStoreError):
    """What the vector store holds cannot be trusted."""


class VectorsRefused(VectorStoreError):
    """Ids, vectors or a query that no store can take: doubled ids, rows that are not finite or zero."""


class DimensionMismatch(VectorStoreError):
    """The vectors have another length than those of the collection."""
