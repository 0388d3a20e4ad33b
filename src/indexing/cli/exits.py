"""Exit codes, and what an error means to whoever called the command."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExitCode(IntEnum):
    """What a command's end says."""

    OK = 0
    FINDINGS = 1
    """It ran, and there is something to look at: no hit, a partial result, a problem found."""
    USAGE = 2
    """It was asked for something that cannot be."""
    UNAVAILABLE = 3
    """What it needs is not there: nothing indexed yet, in use by another owner, the disk, damage."""
    INTERRUPTED = 130
    """Stopped at once by a signal (128 + SIGINT, as shells report it)."""


EXIT_CODES_HELP = "Exit codes: 0 done, 1 findings or a partial result, 2 wrong usage, 3 unavailable, 130 interrupted."


class UsageError(Exception):
    """What was asked for cannot be; the message names the value, the limit and the remedy."""


def explain(error: BaseException) -> tuple[ExitCode, str] | None:
    """Return the exit code and the one line for an error that was to be expected, None for a defect."""
    error = innermost(error)
    code = _code(error)
    if code is None:
        return None
    if isinstance(error, OSError):
        name = f" {error.filename!r}" if error.filename is not None else ""
        return code, f"the operating system refused{name}: {error.strerror or error}"
    return code, str(error)


def innermost(error: BaseException) -> BaseException:
    """Return the first error inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _code(error: BaseException) -> ExitCode | None:
    if isinstance(error, UsageError):
        return ExitCode.USAGE
    if isinstance(error, OSError):
        return ExitCode.UNAVAILABLE
    names = set(_names(type(error)))
    if getattr(error, "is_wrong_usage", False) and "indexing.OwnerRefused" in names:
        return ExitCode.USAGE
    if names & _USAGE:
        return ExitCode.USAGE
    return ExitCode.UNAVAILABLE if names & _UNAVAILABLE else None


def _names(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        yield f"{base.__module__.partition('.')[0]}.{base.__name__}"


def is_usage(name: str) -> bool:
    """Return whether an exception class, by its name alone, stands for wrong usage."""
    return name in {each.partition(".")[2] for each in _USAGE}


# By name, so that looking an error up loads none of the packages it may come from.
_USAGE = {
    "indexing.BadRequest",
    "indexing.NothingToIndex",
    "indexing.RootReplaced",
    "indexing.SettingsError",
    "indexing.SourceError",
    "storage.BackupError",
    "storage.NestedRepository",
    "storage.UnknownRepository",
}
_UNAVAILABLE = {
    "embeddings.EmbeddingsError",
    "indexing.AddressUnavailable",
    "indexing.ControlError",
    "indexing.CrashLoop",
    "indexing.NothingIndexed",
    "indexing.VectorSearchUnavailable",
    "indexing.WorkerStartFailed",
    "storage.StorageError",
}
