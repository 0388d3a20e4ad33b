"""What an error means to an agent: a line it can act on, or, for a defect, only where to look."""

from __future__ import annotations

from typing import Final


class ToolFailed(Exception):
    """A tool cannot do what it was asked; the message names the value, the limit and the remedy."""


def told(error: BaseException) -> str | None:
    """Return the line for an error that was to be expected, None for a defect."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ToolFailed):
        return str(error)
    if isinstance(error, OSError):
        return f"the operating system refused: {error.strerror or error}"
    names = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(error).__mro__}
    return str(error) or type(error).__name__ if names & _EXPECTED else None


# By name, so that looking an error up loads none of the packages it may come from.
_EXPECTED: Final = {
    "embeddings.EmbeddingsError",
    "indexing.BadRequest",
    "indexing.ControlError",
    "indexing.NotIndexed",
    "indexing.SettingsError",
    "indexing.SourceError",
    "indexing.VectorSearchUnavailable",
    "storage.StorageError",
}
