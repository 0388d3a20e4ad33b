"""``codetrove serve``: the service over one data directory."""

from __future__ import annotations

from pathlib import Path

import typer

from indexing.cli.exits import UsageError
from indexing.cli.invocation import invocation_of, run_async


def serve(
    context: typer.Context,
    *,
    host: str | None = typer.Option(
        None, metavar="ADDRESS", help="Address to listen on (service.host).", show_default=False
    ),
    port: int | None = typer.Option(
        None, metavar="PORT", help="TCP port, 0 for any that is free (service.port).", show_default=False
    ),
    allow_remote: bool = typer.Option(
        False, "--allow-remote", help="Listen on an address that other machines can reach; put TLS in front."
    ),
    allow_root: list[Path] = typer.Option(
        [],
        metavar="DIR",
        help="Repositories may be added over HTTP below this directory (service.allowed_roots); repeatable.",
        show_default=False,
    ),
    no_watch: bool = typer.Option(False, "--no-watch", help="Do not index changed files by itself."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object, on one line, when requests are taken."),
) -> None:
    """Serve search, jobs and the web page over HTTP, and keep the index of every repository fresh.

    Prints the address, a link that signs a browser in once, and where the access token lies. Runs until Ctrl-C or
    SIGTERM, which finish what is in hand; a second one stops at once. Tells systemd when it is ready (sd_notify).

    Exit codes: 0 stopped as asked, 2 wrong usage, 3 unavailable (in use, the address is taken), 130 stopped at once.
    """
    from indexing.cli.serve_run import run_serve  # noqa: PLC0415

    settings = invocation_of(context).settings(
        {
            "service.host": host,
            "service.port": port,
            "service.allowed_roots": [str(each.expanduser().absolute()) for each in allow_root] or None,
        }
    )
    from indexing.http.listening import is_loopback  # noqa: PLC0415

    if not allow_remote and not is_loopback(settings.service.host):
        raise UsageError(
            f"service.host = {settings.service.host!r} can be reached from other machines; listen on 127.0.0.1 and"
            " reach it through ssh or a proxy with TLS, or give --allow-remote"
        )
    raise typer.Exit(run_async(run_serve(settings, watch=not no_watch, as_json=as_json)))
