"""Times as they stand in answers."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(milliseconds: int | None) -> str | None:
    """Return milliseconds since 1970 as an RFC 3339 time in UTC, such as ``2026-01-31T12:00:00.250Z``."""
    if milliseconds is None:
        return None
    # Not by way of a float of seconds, which would be a millisecond off now and then.
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"
