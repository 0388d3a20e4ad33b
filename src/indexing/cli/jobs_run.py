"""What the commands of ``codetrove jobs`` ask and print, but for ``watch``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.job_lines import job_line, job_lines
from indexing.cli.terminal import say, say_json, say_result, style_for
from indexing.control import needed, segment
from indexing.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexing.control import ControlClient

JOBS_SCHEMA: Final = 1
BAD_ENDS: Final = frozenset({"partial", "failed", "cancelled"})
_ID_LENGTH = 32
_MOST_JOBS = 200
_FILES_A_PAGE = 1000


def run_list(owner: ControlClient | None, limit: int, *, as_json: bool) -> ExitCode:
    """Print the last jobs; returns the exit code. Raises the errors of ``control``."""
    found = needed(owner).get("/jobs", limit=limit)
    if as_json:
        say_json({"schema": JOBS_SCHEMA, **found})
        return ExitCode.OK
    style = style_for(sys.stdout)
    for job in found["jobs"]:
        say_result(job_line(job, style))
    if not found["jobs"]:
        say("codetrove: there are no jobs")
    return ExitCode.OK


def run_show(owner: ControlClient | None, job_id: str, *, as_json: bool) -> ExitCode:
    """Print one job; returns the exit code."""
    owner = needed(owner)
    job = owner.get(path_of(owner, job_id))
    _print(job, as_json=as_json)
    return ExitCode.FINDINGS if job["state"] in BAD_ENDS else ExitCode.OK


def run_files(owner: ControlClient | None, job_id: str, outcome: str | None, *, as_json: bool) -> ExitCode:
    """Print the outcomes of a job's files; returns the exit code."""
    owner = needed(owner)
    files = _files(owner, path_of(owner, job_id), outcome)
    if as_json:
        say_json({"schema": JOBS_SCHEMA, "files": list(files)})
        return ExitCode.OK
    for file in files:
        why = ": ".join(each for each in (file["reason"], printable(file["detail"])) if each)
        say_result(f"{file['outcome']:8} {file['path'] or '.'}" + (f"  ({why})" if why else ""))
    return ExitCode.OK


def run_change(owner: ControlClient | None, job_id: str, wish: str, *, as_json: bool) -> ExitCode:
    """Pause, resume or cancel a job and print how it stands then; returns the exit code."""
    owner = needed(owner)
    _print(owner.post(f"{path_of(owner, job_id)}/{wish}"), as_json=as_json)
    return ExitCode.OK


def path_of(owner: ControlClient, job_id: str) -> str:
    """Return the path of a job that is named by its id or by how that begins; raises ``UsageError``."""
    if len(job_id) < _ID_LENGTH:
        known = [job["id"] for job in owner.get("/jobs", limit=_MOST_JOBS)["jobs"]]
        meant = [each for each in known if each.startswith(job_id)]
        if len(meant) != 1:
            found = "no job" if not meant else f"{len(meant)} jobs"
            raise UsageError(f"the ids of {found} begin with {job_id!r}; 'codetrove jobs list' shows them")
        job_id = meant[0]
    return f"/jobs/{segment(job_id)}"


def _print(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json({"schema": JOBS_SCHEMA, **job})
        return
    for line in job_lines(job):
        say_result(line)


def _files(owner: ControlClient, path: str, outcome: str | None) -> Iterator[dict[str, Any]]:
    after: str | None = None
    while True:
        page = owner.get(f"{path}/files", outcome=outcome, limit=_FILES_A_PAGE, after=after)
        yield from page["files"]
        after = page["next"]
        if after is None:
            return
