"""The words of a path, as the path leg of the search finds them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_WORD = re.compile(r"\w+")


def path_words(path: bytes, parts_of: Callable[[str], tuple[str, ...]]) -> str:
    """Return the lower-case words of a path and the parts of the compound ones, joined by spaces."""
    words: list[str] = []
    for word in _WORD.findall(path.decode("utf-8", "replace")):
        words.append(word.lower())
        parts = parts_of(word)
        if len(parts) > 1:
            words += parts
    return " ".join(words)
