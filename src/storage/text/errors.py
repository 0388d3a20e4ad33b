"""Turns what tantivy raises into ``TextIndexError``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import TextIndexError


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise ``TextIndexError`` for every failure of tantivy inside the block.

    ``doing`` completes the sentence "the text index failed …".

    tantivy-py raises ``ValueError`` for nearly everything (damage, a held lock, a full disk), ``OSError`` for the file
    system and ``RuntimeError`` for a writer that died of an earlier error.
    A Rust panic, as damaged segments provoke it, arrives as ``pyo3_runtime.PanicException``: a BaseException that
    cannot be imported, so it is known by its name.
    """
    try:
        yield
    except (ValueError, OSError, RuntimeError) as error:
        raise TextIndexError(f"the text index failed {doing}: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TextIndexError(f"the text index failed {doing}: {error}") from error
