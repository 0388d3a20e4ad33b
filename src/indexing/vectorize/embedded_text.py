"""Which text stands for a chunk before an encoder.

The text decides about the vector, so the name of the template belongs into the fingerprint of the collection, and a
change of what `embedded_text` makes needs a new name. The path is not part of it: a renamed file keeps its vectors.
"""

from __future__ import annotations

TEMPLATE = "scope-1"
"""The template in use: a line with the qualified name where the piece does not say it, then the piece."""

MOST_NAME_CHARACTERS = 160
"""Of a longer qualified name the end is kept: the innermost names say most."""


def embedded_text(*, scope: str, symbol: str, piece: str) -> str:
    """Compose the text to embed of a piece of code by template ``scope-1``.

    ``scope`` names the definitions around the piece, outermost first, joined by ``.``; ``symbol`` is the piece's
    leading definition. A piece that lies inside another definition, or that continues one which began earlier, is
    headed by the name that it lacks; one that begins at top level with its own name in it stays as it is.
    """
    shown = not symbol or _occurs(symbol, piece)
    if not scope and shown:
        return piece
    name = ".".join(part for part in (scope, symbol) if part)
    return f"{name[-MOST_NAME_CHARACTERS:]}\n{piece}"


def _occurs(name: str, piece: str) -> bool:
    """Whether the name stands in the piece as a word. A regular expression would have to be compiled for each name."""
    at = piece.find(name)
    while at >= 0:
        before, after = piece[at - 1 : at], piece[at + len(name) : at + len(name) + 1]
        if not (_is_of_a_word(before) or _is_of_a_word(after)):
            return True
        at = piece.find(name, at + 1)
    return False


def _is_of_a_word(character: str) -> bool:
    return character == "_" or character.isalnum()
