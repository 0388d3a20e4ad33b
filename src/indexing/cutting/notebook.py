"""Jupyter notebooks: the sources of their cells as one text, and where each cell begins in it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage import Section

_SURROGATE = re.compile("[\ud800-\udfff]")

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Notebook:
    """What is kept of a notebook; outputs and metadata are not."""

    text: bytes
    sections: tuple[Section, ...]
    replaced: bool


def read_notebook(data: bytes) -> Notebook | None:
    """Joins the cells of a notebook (nbformat 3 and 4) with blank lines between; None when it is not one.

    Cells are numbered from 1 in the notebook's own order; empty ones have no section.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    pieces: list[bytes] = []
    sections: list[Section] = []
    line = 1
    replaced = False
    for number, source in _cells(document):
        # A lone surrogate is legal in JSON and cannot be encoded.
        piece = source.encode("utf-8", "replace")
        replaced = replaced or _SURROGATE.search(source) is not None
        piece = piece if piece.endswith(b"\n") else piece + b"\n"
        if pieces:
            pieces.append(b"\n")
            line += 1
        sections.append(Section(f"cell {number}", line))
        pieces.append(piece)
        line += len(piece.splitlines())
    return Notebook(b"".join(pieces), tuple(sections), replaced) if sections else None


def _cells(document: Any) -> Iterator[tuple[int, str]]:
    if not isinstance(document, dict):
        return
    sheets = document.get("worksheets")
    holders = [document, *(sheets if isinstance(sheets, list) else [])]
    cells = [cell for holder in holders if isinstance(holder, dict) for cell in _list(holder.get("cells"))]
    for number, cell in enumerate(cells, start=1):
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", cell.get("input"))
        text = "".join(filter(_is_text, source)) if isinstance(source, list) else source
        if isinstance(text, str) and text.strip():
            yield number, text


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
