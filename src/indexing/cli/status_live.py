"""What only a running owner can say in a status: which jobs run, and how it notices changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from indexing.cli.job_lines import counts
from indexing.control import ControlError
from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.control import ControlClient

_UNFINISHED = frozenset({"queued", "running", "paused", "cancelling"})
_MOST_JOBS = 200


def live_of(owner: ControlClient | None) -> dict[str, Any] | None:
    """Return ``{jobs, watching, problem}`` of an owner, None where there is none.

    An owner that does not answer does not keep anybody from the rest of a status; ``problem`` says so.
    """
    if owner is None:
        return None
    try:
        jobs = [job for job in owner.get("/jobs", limit=_MOST_JOBS)["jobs"] if job["state"] in _UNFINISHED]
        known = owner.get("/repositories")["repositories"]
    except ControlError as error:
        return {"jobs": [], "watching": [], "problem": str(error)}
    watching = [{"repository": each["uuid"], "root": each["root"], **each["watching"]} for each in known]
    return {"jobs": jobs, "watching": watching, "problem": ""}


def live_lines(live: dict[str, Any] | None) -> Iterator[str]:
    """Yield the lines that tell a person."""
    if live is None:
        return
    for job in live["jobs"]:
        why = f", {printable(job['reason'])}" if job["reason"] else ""
        yield f"  job {job['id'][:8]} of {job['root']}: {job['state']}{why}, {counts(job)}"
    for each in live["watching"]:
        if each["mode"] == "off" and not each["problem"]:
            continue
        dirty = f", {each['dirty']:,} changes noticed" if each["dirty"] else ""
        problem = f"; {printable(each['problem'])}" if each["problem"] else ""
        yield f"  watching {each['root']} by {each['mode']}{dirty}{problem}"
    if live["problem"]:
        yield f"  the owner does not answer: {printable(live['problem'])}"
