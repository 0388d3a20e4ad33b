"""What has come into a repository since its base was written: rows in memory, appended in blocks, scanned exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from storage.vectors.local_scan import Mask
from storage.vectors.scoring import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BLOCK_ROWS = 8192
LANGUAGE_CODE = np.uint16
"""Codes of languages, as numbers into a list of names."""


@dataclass(slots=True)
class Block:
    """Up to ``BLOCK_ROWS`` rows. Rows are appended and die; they never change, so a reader may hold on to them."""

    rows: Rows
    languages: NDArray[np.uint16]
    alive: Mask
    used: int = 0

    def wanted(self, codes: Mask | None) -> Mask:
        """Which rows live and have one of the languages: (used,)."""
        alive = self.alive[: self.used]
        return alive.copy() if codes is None else alive & codes[self.languages[: self.used]]


class Delta:
    """Rows by id; an id that comes again gets a new row, and its old one dies."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.blocks: list[Block] = []
        self.ids: list[bytes] = []
        """by row, dead ones included"""
        self.row_of: dict[bytes, int] = {}
        """living rows"""
        self.language_names: list[str] = []
        self._codes: dict[str, int] = {}

    def __len__(self) -> int:
        """Living rows."""
        return len(self.row_of)

    def append(self, ids: Sequence[bytes], rows: Rows, languages: Sequence[str]) -> None:
        """Add rows; the ids must not be alive here."""
        codes = np.fromiter((self._code(each) for each in languages), LANGUAGE_CODE, len(ids))
        taken = 0
        while taken < len(ids):
            block = self._room()
            lot = min(BLOCK_ROWS - block.used, len(ids) - taken)
            place = slice(block.used, block.used + lot)
            block.rows[place] = rows[taken : taken + lot]
            block.languages[place] = codes[taken : taken + lot]
            block.alive[place] = True
            block.used += lot
            taken += lot
        first = len(self.ids)
        self.ids.extend(ids)
        self.row_of.update(zip(ids, range(first, first + len(ids)), strict=True))

    def kill(self, ids: Sequence[bytes]) -> list[bytes]:
        """Let rows die; returns the ids that were alive here."""
        killed = []
        for each in ids:
            row = self.row_of.pop(each, None)
            if row is not None:
                self.blocks[row // BLOCK_ROWS].alive[row % BLOCK_ROWS] = False
                killed.append(each)
        return killed

    def get(self, id: bytes) -> tuple[Rows, str] | None:
        """Row and language of an id that is alive here."""
        row = self.row_of.get(id)
        if row is None:
            return None
        block, offset = self.blocks[row // BLOCK_ROWS], row % BLOCK_ROWS
        return block.rows[offset], self.language_names[block.languages[offset]]

    def codes(self, languages: frozenset[str] | None) -> Mask | None:
        """Which codes stand for these languages: (number of codes,)."""
        return codes_of(self.language_names, languages)

    def _code(self, language: str) -> int:
        code = self._codes.get(language)
        if code is None:
            code = self._codes[language] = len(self.language_names)
            self.language_names.append(language)
        return code

    def _room(self) -> Block:
        if not self.blocks or self.blocks[-1].used == BLOCK_ROWS:
            rows = np.empty((BLOCK_ROWS, self.dimension), np.float16)
            self.blocks.append(Block(rows, np.zeros(BLOCK_ROWS, LANGUAGE_CODE), np.zeros(BLOCK_ROWS, np.bool_)))
        return self.blocks[-1]


def codes_of(names: Sequence[str], languages: frozenset[str] | None) -> Mask | None:
    """Which of the named languages are wanted; None where all are."""
    if languages is None:
        return None
    return np.fromiter((name in languages for name in names), np.bool_, len(names))
