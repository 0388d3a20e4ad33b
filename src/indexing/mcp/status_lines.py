"""The state of the index in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def status_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what an agent should know of a status as JSON: what is missing, what is wrong, and what runs."""
    rows = found.get("repositories", ())
    lines = [f"{len(rows)} repositories"]
    if found.get("owner") == "":
        lines.append("no owner runs: nothing is re-indexed by itself")
    if found.get("pending_chunks"):
        lines.append(f"{found['pending_chunks']} chunks are not searchable yet")
    for vectors in found.get("vectors", ()):
        lines.append(
            f"vectors of {vectors['model']} ({vectors['state']}): {vectors['stored']} stored, "
            f"{vectors['pending']} pending, {vectors['failed']} failed"
        )
    lines += [f"problem: {problem}" for problem in found.get("problems", ())]
    for row in rows:
        age = row.get("scanned_seconds_ago")
        scanned = "never scanned" if age is None else f"scanned {age:.0f} s ago"
        lines.append(f"{row['root']} · {row['files']} files, {row['chunks']} chunks · {scanned}")
        if row.get("pending_files"):
            lines.append(f"   {row['pending_files']} files are being indexed")
        if row.get("job"):
            lines.append(f"   {job_line(row['job'])}")
        lines += [f"   problem: {problem}" for problem in row.get("problems", ())]
    return lines


def job_line(job: Mapping[str, Any]) -> str:
    """Return one line of a job as JSON."""
    reason = f" ({job['reason']})" if job.get("reason") else ""
    return f"job {job.get('id', '')}: {job.get('state', '')}{reason}"
