"""An owner's job as lines of text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from indexing.cli.terminal import Style

_MARKS = {"succeeded": "good", "partial": "warn", "cancelled": "warn", "failed": "bad"}
_COUNTED = ("indexed", "unchanged", "skipped", "failed", "removed")
_SHORT_ID = 8


def job_line(job: Mapping[str, Any], style: Style) -> str:
    """Return a job as one line: id, state, when it was asked for, counts, root."""
    state = style(_MARKS.get(job["state"], "name"), f"{job['state']:10}")
    when = _shortened(job["created_at"])
    return f"{job['id'][:_SHORT_ID]}  {state}  {when:20}  {counts(job)}  {job['root']}"


def job_lines(job: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of one job."""
    yield f"job {job['id']}: {job['state']}" + (f", {printable(job['reason'])}" if job["reason"] else "")
    yield f"  {job['root']}" + (f", {_paths(job)}" if job["paths"] is not None else "")
    yield f"  asked for by {job['origin']} at {job['created_at'] or '?'}"
    if job["started_at"]:
        yield f"  began {job['started_at']}" + (f", ended {job['ended_at']}" if job["ended_at"] else "")
    yield f"  {counts(job)}"
    for warning in job["warnings"]:
        yield f"  warning: {printable(warning)}"


def counts(job: Mapping[str, Any]) -> str:
    """Return what came of the files, in a few words."""
    tally = job["tally"]
    parts = [
        f"{tally[name]:,} {name}" for name in ("indexed", "unchanged", "skipped", "failed", "removed") if tally[name]
    ]
    return f"{tally['seen']:,} seen" + (f" ({', '.join(parts)})" if parts else "")


def _paths(job: Mapping[str, Any]) -> str:
    total = job.get("paths_total") or len(job["paths"])
    return job["paths"][0] if total == 1 else f"{total:,} paths"


def _shortened(moment: str | None) -> str:
    """A moment of RFC 3339 without the fractions of a second."""
    if not moment:
        return ""
    return moment.partition(".")[0].removesuffix("Z") + "Z"
