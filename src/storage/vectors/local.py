"""``LocalStore``: vectors on this machine, for one process that writes and any number that read.

    <path>/.lock                                   held by the one that writes
    <path>/<collection>/collection.json            name and dimension
    <path>/<collection>/marker.json                what its owner says it holds
    <path>/<collection>/<repository>/<collection>-<seq>.{json,rows,flat,graph}

For each repository there is an immutable base of checksummed files, replaced by renaming its manifest, and in memory
what came since. Upserts and deletions are durable only once they were merged into a base (``optimize``, ``aclose``, and
by itself in the background): after a kill, compare the ids and fill in what is missing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from pathlib import Path
from typing import Self
from uuid import uuid4

import msgspec

from storage.errors import DimensionMismatch, VectorStoreDamaged, VectorStoreError, VectorStoreUnavailable
from storage.vectors.local_collection import LocalCollection
from storage.vectors.local_errors import translated
from storage.vectors.local_files import read_sealed, write_sealed
from storage.vectors.local_policy import LocalOptions
from storage.vectors.local_threads import Threads, in_thread
from storage.vectors.names import checked_name
from storage.vectors.records import CollectionSpec

COLLECTION_FILE = "collection.json"
LOCK_FILE = ".lock"
_DROPPED = ".dropped-"


class _CollectionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    dimension: int


class LocalStore:
    """All collections in one directory. Made by ``open_for_writing`` or ``open_for_reading``."""

    def __init__(self, path: Path, options: LocalOptions, threads: Threads, lock: int | None) -> None:
        self._path = path
        self._options = options
        self._threads = threads
        self._lock = lock
        self._writable = lock is not None
        self._open: dict[str, LocalCollection] = {}
        self._changing = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open_for_writing(cls, path: Path, options: LocalOptions | None = None) -> Self:
        """Open as the one that writes. Raises ``VectorStoreUnavailable`` where another one does, here or elsewhere."""
        threads = Threads()
        try:
            with translated(f"to open {str(path)!r} for writing"):
                lock = await in_thread(threads.files, lambda: _take(path))
        except BaseException:
            await asyncio.to_thread(threads.shut_down)
            raise
        return cls(path, options or LocalOptions(), threads, lock)

    @classmethod
    async def open_for_reading(cls, path: Path, options: LocalOptions | None = None) -> Self:
        """Open to search what the one that writes has merged so far. Takes no lock and writes nothing.

        Opening a collection again looks for newer bases.
        """
        return cls(path, options or LocalOptions(), Threads(), None)

    async def open(self, spec: CollectionSpec) -> LocalCollection:
        """See ``VectorStore.open``.

        For a reader a collection that is not there, or has no readable description, is a ``VectorStoreUnavailable``.
        """
        self._check_open()
        checked_name(spec.name)
        async with self._changing:
            self._check_open()
            there = self._open.get(spec.name)
            if there is not None and there.spec != spec:
                raise _mismatch(spec, there.spec.dimension)
            if there is not None and self._writable:
                return there
            with translated(f"to open the collection {spec.name!r}"):
                problem = await in_thread(self._threads.files, lambda: self._prepare(spec))
                if there is None:
                    directory = self._path / spec.name
                    there = LocalCollection(spec, directory, self._threads, self._options, writable=self._writable)
                if problem:
                    there.problems.append(problem)
                await in_thread(self._threads.vectors, there.load)
            self._open[spec.name] = there
            return there

    async def drop(self, name: str) -> None:
        """See ``VectorStore.drop``."""
        self._check_open()
        if not self._writable:
            raise VectorStoreUnavailable("the vector store is open for reading only; its owner drops collections")
        checked_name(name)
        async with self._changing:
            self._check_open()
            there = self._open.pop(name, None)
            if there is not None:
                await there.end(keep=False)
            with translated(f"to drop the collection {name!r}"):
                await in_thread(self._threads.files, lambda: self._remove(name))

    async def collections(self) -> tuple[str, ...]:
        """See ``VectorStore.collections``."""
        self._check_open()
        with translated("to list its collections"):
            return await in_thread(self._threads.files, self._names)

    async def aclose(self) -> None:
        """See ``VectorStore.aclose``. Writes what only memory holds; raises if it cannot, after letting go of all."""
        async with self._changing:
            if self._closed:
                return
            self._closed = True
            failures: list[VectorStoreError] = []
            try:
                for each in self._open.values():
                    try:
                        await each.end(keep=True)
                    except VectorStoreError as error:
                        failures.append(error)
            finally:
                self._open.clear()
                await asyncio.to_thread(self._threads.shut_down)
                if self._lock is not None:
                    os.close(self._lock)
                    self._lock = None
            if failures:
                raise failures[0]

    def _prepare(self, spec: CollectionSpec) -> str | None:
        """Check what a collection's file says of it, or make one; returns what was wrong with it."""
        directory = self._path / spec.name
        path = directory / COLLECTION_FILE
        problem = None
        try:
            found = read_sealed(path, _CollectionFile)
        except (FileNotFoundError, VectorStoreDamaged) as error:
            if not self._writable:
                raise VectorStoreUnavailable(f"there is no collection {spec.name!r} to read: {error}") from error
            # Each base says its dimension too, so nothing of another one can come in here.
            problem = str(error) if isinstance(error, VectorStoreDamaged) else None
            directory.mkdir(mode=0o700, exist_ok=True)
            write_sealed(path, _CollectionFile(spec.name, spec.dimension))
            return problem
        if found.dimension != spec.dimension:
            raise _mismatch(spec, found.dimension)
        return problem

    def _remove(self, name: str) -> None:
        gone = self._path / f"{_DROPPED}{uuid4()}"
        try:
            # A kill in the middle must not leave half a collection under its name.
            (self._path / name).rename(gone)
        except FileNotFoundError:
            return
        shutil.rmtree(gone)

    def _names(self) -> tuple[str, ...]:
        if not self._path.is_dir():
            return ()
        return tuple(sorted(each.name for each in self._path.iterdir() if each.is_dir() and each.name[0] != "."))

    def _check_open(self) -> None:
        if self._closed:
            raise VectorStoreUnavailable("the vector store is closed")


def _take(path: Path) -> int:
    """Make the directory, lock it and clear what a kill left; returns the descriptor that holds the lock."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for each in path.glob(f"{_DROPPED}*"):
            shutil.rmtree(each)
    except BlockingIOError as error:
        os.close(lock)
        message = f"the vector store {str(path)!r} is open for writing already, here or in another process; stop that"
        raise VectorStoreUnavailable(message) from error
    except BaseException:
        os.close(lock)
        raise
    return lock


def _mismatch(spec: CollectionSpec, dimension: int) -> DimensionMismatch:
    return DimensionMismatch(
        f"the collection {spec.name!r} has {dimension} dimensions, not {spec.dimension}; open one of another name",
    )
