"""``codetrove status``: what is indexed, how old it is, and what is wrong."""

from __future__ import annotations

import typer

from indexing.cli.exits import ExitCode
from indexing.cli.invocation import invocation_of, run_async
from indexing.cli.terminal import say_json, say_result


def status(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print each repository with its size and age, its last run, what is pending and what is wrong.

    Works beside a running owner, which it names and asks for its jobs and for how it notices changes, and without one.

    Exit codes: 0 all is well, 1 something is wrong, 3 unavailable (nothing is indexed yet).
    """
    from indexing.cli.status_live import live_lines, live_of  # noqa: PLC0415
    from indexing.cli.status_view import status_lines  # noqa: PLC0415
    from indexing.status import status as look  # noqa: PLC0415
    from indexing.status import to_json  # noqa: PLC0415

    invocation = invocation_of(context)
    found = run_async(look(invocation.settings()))
    live = live_of(invocation.owner())
    if as_json:
        say_json({**to_json(found), "live": live})
    else:
        for line in (*status_lines(found), *live_lines(live)):
            say_result(line)
    raise typer.Exit(ExitCode.OK if found.healthy else ExitCode.FINDINGS)
