"""``codetrove fsck``: checks everything that is kept."""

from __future__ import annotations

import typer

from indexing.cli.exits import ExitCode
from indexing.cli.invocation import invocation_of, run_async
from indexing.cli.terminal import say_json, say_result
from indexing.printable import printable


def fsck(
    context: typer.Context,
    repair: bool = typer.Option(False, "--repair", help="Mend what is wrong."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Check the catalog and compare the text index with it; with --repair, mend what is wrong.

    A damaged catalog is moved aside and comes back from the registry and the trees on disk.

    Exit codes: 0 nothing is wrong (any more), 1 something is, 3 unavailable (in use by another owner).
    """
    from indexing.fsck import check  # noqa: PLC0415

    report = run_async(check(invocation_of(context).settings(), repair=repair))
    if as_json:
        findings = [
            {"code": finding.code, "message": finding.message, "repaired": finding.repaired}
            for finding in report.findings
        ]
        say_json({"schema": 1, "clean": report.clean, "findings": findings, "messages": list(report.messages)})
    else:
        for finding in report.findings:
            say_result(f"{finding.code}: {printable(finding.message)}" + (" (repaired)" if finding.repaired else ""))
        for message in report.messages:
            say_result(printable(message))
        say_result("clean" if report.clean else f"{len(report.findings)} findings" + _advice(repair=repair))
    raise typer.Exit(ExitCode.OK if report.clean else ExitCode.FINDINGS)


def _advice(*, repair: bool) -> str:
    return "" if repair else "; run 'codetrove fsck --repair'"
