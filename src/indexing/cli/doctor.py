"""``codetrove doctor``: checks the machine and the data directory."""

from __future__ import annotations

import sys
from dataclasses import asdict

import typer

from indexing.cli.exits import ExitCode
from indexing.cli.invocation import invocation_of, run_async
from indexing.cli.terminal import say_json, say_result, style_for
from indexing.printable import printable

_MARKS = {"ok": "good", "warn": "warn", "fail": "bad"}


def doctor(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Check whether codetrove can work here, and say what to do where it cannot.

    Looks at Python, SQLite, git, the data directory and its disk, limits on open files and watches, grammars,
    and whether a worker process starts. Changes nothing.

    Exit codes: 0 all is well, 1 something is to be mended.
    """
    from indexing.doctor import examine  # noqa: PLC0415

    checks = run_async(examine(invocation_of(context).settings()))
    if as_json:
        say_json({"schema": 1, "checks": [asdict(check) for check in checks]})
    else:
        style = style_for(sys.stdout)
        for check in checks:
            say_result(f"{style(_MARKS[check.level], check.level.ljust(4))}  {check.name}: {printable(check.detail)}")
            if check.remedy:
                say_result(f"      remedy: {printable(check.remedy)}")
    well = all(check.level == "ok" for check in checks)
    raise typer.Exit(ExitCode.OK if well else ExitCode.FINDINGS)
