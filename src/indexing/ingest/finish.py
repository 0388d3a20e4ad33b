"""What is left to do for a file once it is cut: its text is compressed, the parts of compound identifiers are found.

With one worker process the owner does it, before the commit: that worker is the busier side. Several workers do it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from indexing.cutting.identifiers import compound_words
from storage import compress_text

if TYPE_CHECKING:
    from storage import Cut, FileVersion


def finished(version: FileVersion, text: bytes, zstd_level: int) -> FileVersion:
    """Return ``version`` with its text compressed, and with the words of its chunks."""
    if version.text is None or version.cut is None:
        return version
    return replace(
        version,
        text=replace(version.text, body=compress_text(text, zstd_level)),
        words=words_of(text, version.cut),
    )


def words_of(text: bytes, cut: Cut) -> tuple[str, ...]:
    """Return the parts of the compound identifiers in each chunk of a text."""
    return tuple([compound_words(text[chunk.start_byte : chunk.end_byte]) for chunk in cut.chunks])
