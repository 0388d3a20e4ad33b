"""``codetrove jobs``: what the owner of the data directory is indexing, and has indexed."""

from __future__ import annotations

from enum import StrEnum

import typer

from indexing.cli.invocation import invocation_of, run_async

commands = typer.Typer(
    help="Jobs of the running owner.",
    epilog="Example: codetrove jobs list",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class FileOutcome(StrEnum):
    """What a job did about a file."""

    INDEXED = "indexed"
    SKIPPED = "skipped"
    FAILED = "failed"
    REMOVED = "removed"


_ID = typer.Argument(metavar="ID", help="Id of a job, or how it begins, from 'codetrove jobs list'.")
_AS_JSON = typer.Option(False, "--json", help="Print one JSON object.")


@commands.callback()
def jobs() -> None:
    """Jobs of the running owner."""


@commands.command("list", epilog="Example: codetrove jobs list --limit 5")
def list_jobs(
    context: typer.Context,
    limit: int = typer.Option(20, metavar="N", min=1, max=200, help="Most jobs."),
    as_json: bool = _AS_JSON,
) -> None:
    """Print the last jobs, the newest first: id, state, when, what came of it, root.

    Exit codes: 0 done, 3 unavailable (nobody owns the data directory).
    """
    from indexing.cli.jobs_run import run_list  # noqa: PLC0415

    raise typer.Exit(run_list(invocation_of(context).owner(), limit, as_json=as_json))


@commands.command("show", epilog="Example: codetrove jobs show 3f2a")
def show_job(context: typer.Context, job_id: str = _ID, as_json: bool = _AS_JSON) -> None:
    """Print how a job stands, or ended.

    Exit codes: 0 done, 1 it did not come to a good end, 2 there is no such job, 3 unavailable.
    """
    from indexing.cli.jobs_run import run_show  # noqa: PLC0415

    raise typer.Exit(run_show(invocation_of(context).owner(), job_id, as_json=as_json))


@commands.command("files", epilog="Example: codetrove jobs files 3f2a --outcome failed")
def job_files(
    context: typer.Context,
    job_id: str = _ID,
    outcome: FileOutcome | None = typer.Option(None, help="Only files with this outcome.", show_default=False),
    as_json: bool = _AS_JSON,
) -> None:
    """Print what a job did about each file and why; unchanged files are not listed.

    Exit codes: 0 done, 2 there is no such job, 3 unavailable.
    """
    from indexing.cli.jobs_run import run_files  # noqa: PLC0415

    wanted = None if outcome is None else outcome.value
    raise typer.Exit(run_files(invocation_of(context).owner(), job_id, wanted, as_json=as_json))


@commands.command("pause", epilog="Example: codetrove jobs pause 3f2a")
def pause_job(context: typer.Context, job_id: str = _ID, as_json: bool = _AS_JSON) -> None:
    """Let a job finish what is in hand and begin nothing more until 'codetrove jobs resume'.

    Exit codes: 0 done, 2 there is no such job, 3 unavailable, or it has ended.
    """
    _change(context, job_id, "pause", as_json=as_json)


@commands.command("resume", epilog="Example: codetrove jobs resume 3f2a")
def resume_job(context: typer.Context, job_id: str = _ID, as_json: bool = _AS_JSON) -> None:
    """Let a paused job go on.

    Exit codes: 0 done, 2 there is no such job, 3 unavailable, or it has ended.
    """
    _change(context, job_id, "resume", as_json=as_json)


@commands.command("cancel", epilog="Example: codetrove jobs cancel 3f2a")
def cancel_job(context: typer.Context, job_id: str = _ID, as_json: bool = _AS_JSON) -> None:
    """End a job after what it has in hand; what it indexed by then stays.

    Exit codes: 0 done, 2 there is no such job, 3 unavailable, or it has ended.
    """
    _change(context, job_id, "cancel", as_json=as_json)


@commands.command("watch", epilog="Example: codetrove jobs watch 3f2a")
def watch_job(context: typer.Context, job_id: str = _ID, as_json: bool = _AS_JSON) -> None:
    """Show how a job comes along until it ends; Ctrl-C stops looking and leaves the job alone.

    Exit codes: 0 it succeeded, 1 it did not come to a good end or still runs, 2 there is no such job, 3 unavailable.
    """
    from indexing.cli.jobs_watch import run_watch  # noqa: PLC0415

    invocation = invocation_of(context)
    raise typer.Exit(run_async(run_watch(invocation.owner(), job_id, as_json=as_json, verbose=invocation.verbose)))


def _change(context: typer.Context, job_id: str, wish: str, *, as_json: bool) -> None:
    from indexing.cli.jobs_run import run_change  # noqa: PLC0415

    raise typer.Exit(run_change(invocation_of(context).owner(), job_id, wish, as_json=as_json))
