"""Where log lines go: standard error, for people or as JSON, from the level that the settings name."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

from indexing.cli.terminal import printable

if TYPE_CHECKING:
    from indexing.settings import LogSettings


def configure_logs(chosen: LogSettings, *, verbose: bool) -> None:
    """Send log lines to standard error; ``verbose`` lets everything through."""
    level = logging.DEBUG if verbose else logging.getLevelNamesMapping()[chosen.level.upper()]
    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=chosen.format == "json"),
    ]
    if chosen.format == "json":
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors += [_escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # Looked up for each logger: while progress is shown, standard error is a proxy that writes above it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _escape(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Escape control characters in what a file's name or content brought into an event."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}
