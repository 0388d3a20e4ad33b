"""What transactions of the catalog hand to the text index, in lots: files go together, none is long to add. Pure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from storage import Collected, Committed, NewChunks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Change: TypeAlias = NewChunks | Collected

BYTES_A_LOT: Final = 200_000
"""A lot is complete with so many bytes of text: one after the other, small files cost a change of threads each."""

_BYTES_A_COMPRESSED_BYTE: Final = 4
"""Text that compresses better than this counts by its own size."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Some changes of one transaction."""

    changes: tuple[Change, ...]
    size: int
    """bytes of text that they add (``_work_of``), and one for each chunk that they delete"""


@dataclass(frozen=True, slots=True)
class Mark:
    """The transaction of the lots before it is committed."""

    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once all of it is findable."""


@dataclass(frozen=True, slots=True)
class Undo:
    """The transaction of the lots before it is undone."""


def lots_of(results: Sequence[object]) -> Iterator[Lot]:
    """What some changes added and removed, in order; a result may be a list of results."""
    changes: list[Change] = []
    size = 0
    for result in results:
        for each in result if isinstance(result, list) else [result]:
            if isinstance(each, Committed) and each.added is not None and each.added.chunks:
                changes.append(each.added)
                size += _work_of(each.added)
            elif isinstance(each, Collected) and each.chunk_ids:
                changes.append(each)
                size += len(each.chunk_ids)
            if size >= BYTES_A_LOT:
                yield Lot(tuple(changes), size)
                changes, size = [], 0
    if changes:
        yield Lot(tuple(changes), size)


def _work_of(added: NewChunks) -> int:
    """How much text there is to index, in bytes of code; what compresses badly has more different words for its size.

    Code shrinks to a fifth. Translations to Chinese and Japanese shrink to less than a half, and a commit of them took
    twice as long as one of as much code.
    """
    return max(added.text_size, _BYTES_A_COMPRESSED_BYTE * len(added.body))
