"""All commands and the options that come before their names."""

from __future__ import annotations

from pathlib import Path

import typer

from indexing.cli import (
    backup,
    config,
    doctor,
    flags,
    forget,
    fsck,
    index,
    init,
    jobs,
    mcp,
    model,
    search,
    serve,
    similar,
    status,
    stop,
    symbol,
    sync,
    token,
)
from indexing.cli.exits import EXIT_CODES_HELP
from indexing.cli.group import CommandGroup
from indexing.cli.invocation import Invocation
from indexing.cli.plain_values import spare_checks
from indexing.cli.terminal import say_result

spare_checks()
app = typer.Typer(
    name="codetrove",
    cls=CommandGroup,
    epilog=f"Example: codetrove search 'where are blueprints registered'. {EXIT_CODES_HELP}",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, example in (
    (index.index, "codetrove index ~/src/flask --exclude 'docs/**'"),
    (search.search, "codetrove search session cookie --lang python --path 'src/**' -k 5"),
    (similar.similar, "codetrove similar src/flask/app.py:120 -k 5"),
    (symbol.symbol, "codetrove symbol Blueprint.register"),
    (status.status, "codetrove status --json"),
    (serve.serve, "codetrove serve --port 0"),
    (stop.stop, "codetrove stop"),
    (sync.sync, "codetrove sync --timeout 5"),
    (mcp.mcp, "codetrove mcp"),
    (init.init, "codetrove init --mcp claude"),
    (forget.forget, "codetrove forget ~/src/flask --yes"),
    (fsck.fsck, "codetrove fsck --repair"),
    (doctor.doctor, "codetrove doctor"),
    (backup.backup, "codetrove backup ~/trove.backup"),
    (backup.restore, "codetrove restore ~/trove.backup"),
):
    app.command(epilog=f"Example: {example}")(command)
app.add_typer(config.commands, name="config")
app.add_typer(jobs.commands, name="jobs")
app.add_typer(model.commands, name="model")
app.add_typer(flags.commands, name="flags")
app.add_typer(token.commands, name="token")


def show_version(wanted: bool) -> None:
    """Print the version and end, if that is wanted."""
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        say_result(f"codetrove {version('codetrove')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    data_dir: Path | None = typer.Option(
        None, metavar="DIR", help="Directory of the index (storage.data_dir).", show_default=False
    ),
    config_file: Path | None = typer.Option(
        None, "--config", metavar="FILE", help="Configuration file to read.", show_default=False
    ),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log everything, list everything."),
    _version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=show_version
    ),
) -> None:
    """Keep source trees searchable."""
    context.obj = Invocation(data_dir, config_file, verbose)
