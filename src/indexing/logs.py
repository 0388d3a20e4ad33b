"""Where log lines go: standard error, for people or as JSON, from the level that the settings name.

An event has a name of the vocabulary in ``docs/logging.md`` and values beside it. What libraries log through the
standard library comes as ``library.logged``, from warnings on. Ids that are bound with ``structlog.contextvars``
(``request_id``, ``job``) are in every line of that context.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from indexing.log_values import cleaned_event, cleaned_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.settings import LogSettings


@contextmanager
def _without_rich() -> Iterator[None]:
    """Keep structlog from loading rich: a tenth of a search's start, for tracebacks that are never shown here."""
    missing = object()
    before = sys.modules.get("rich", missing)
    sys.modules["rich"] = None  # type: ignore[assignment]  # the import system's word for "there is none"
    try:
        yield
    finally:
        del sys.modules["rich"]
        if before is not missing:
            sys.modules["rich"] = before  # type: ignore[assignment]


with _without_rich():
    import structlog

LIBRARY_EVENT: Final = "library.logged"
LIBRARY_LEVEL: Final = logging.WARNING
"""Least severity of what is taken from libraries: below it they tell of requests and paths in words of their own."""
_QUIET: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "mcp", "watchfiles", "httpx2", "asyncio")
"""Loggers that may have been given a level, or handlers, of their own."""
_MULTI_LINE: Final = ("exception", "stack", "traceback")
_writing = threading.Lock()


def configure_logs(chosen: LogSettings, *, verbose: bool) -> None:
    """Send log lines to standard error; ``verbose`` lets everything of ours through. May be called again."""
    level = logging.DEBUG if verbose else logging.getLevelNamesMapping()[chosen.level.upper()]
    is_json = chosen.format == "json"
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=is_json),
        # As text without the values of variables, which structlog's own rendering would show.
        structlog.processors.format_exc_info,
    ]
    if is_json:
        processors += [_cleaned_for_programs, structlog.processors.JSONRenderer()]
    else:
        console = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
        )
        processors += [_cleaned_for_people, console]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StandardError,
        cache_logger_on_first_use=False,
    )
    _route_libraries()


class _StandardError:
    """Writes lines to what standard error is at that moment: while progress is shown, it writes above the bars."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: str) -> None:
        """Write a line; that nobody reads them any more must not end what they are about."""
        with _writing, suppress(OSError, ValueError):
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = exception = log = msg


class LibraryHandler(logging.Handler):
    """Hands what libraries log to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record. Never raises: a message that cannot be formatted is logged as it was given."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - task boundary: a library's defect in a message is no failure of ours
            message = f"{record.msg!r} ({error!r})"
        values = {"library": record.name, "message": message}
        structlog.get_logger().log(record.levelno, LIBRARY_EVENT, exc_info=record.exc_info or None, **values)


def _route_libraries() -> None:
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(LibraryHandler(LIBRARY_LEVEL))
    for name in _QUIET:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(LIBRARY_LEVEL)


def _cleaned_for_programs(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    many = _multi_line(event)
    return cleaned_event(event) | many


def _cleaned_for_people(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    many = _multi_line(event)
    # Indented, no line of a message can be taken for an event.
    return cleaned_event(event) | {key: "\n".join(f"    {line}" for line in lines) for key, lines in many.items()}


def _multi_line(event: dict[str, Any]) -> dict[str, list[str]]:
    found = {key: event.pop(key) for key in _MULTI_LINE if isinstance(event.get(key), str)}
    return {key: cleaned_lines(text) for key, text in found.items()}
