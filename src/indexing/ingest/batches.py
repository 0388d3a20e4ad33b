"""Forms batches of files: by count, by bytes, and alone where a file is suspected."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from indexing.ingest.messages import FileTask


def batched(
    tasks: Iterable[FileTask], *, most_files: int, most_bytes: int, alone: Collection[bytes] = ()
) -> Iterator[tuple[FileTask, ...]]:
    """Yield batches in order: at most ``most_files`` files and, beyond one file, ``most_bytes``; ``alone`` apart."""
    batch: list[FileTask] = []
    size = 0
    for task in tasks:
        apart = task.place.path in alone
        if batch and (apart or len(batch) == most_files or size + task.stat.size > most_bytes):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(task)
        size += task.stat.size
        if apart:
            yield tuple(batch)
            batch, size = [], 0
    if batch:
        yield tuple(batch)
