"""``codetrove flags``: settings that are changed while the program runs, kept as overrides of config.yaml."""

from __future__ import annotations

import typer

from indexing.cli.invocation import invocation_of, run_async

commands = typer.Typer(
    help="Flags: stored overrides of the settings.",
    epilog="Example: codetrove flags set enable_parallel true",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.callback()
def flags() -> None:
    """Flags: stored overrides of the settings."""


@commands.command("list", epilog="Example: codetrove flags list --json")
def list_flags(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print every flag with its value, and whether that is stored or comes from the settings.

    Exit codes: 0 done, 3 unavailable.
    """
    invocation = invocation_of(context)
    if (owner := invocation.owner()) is not None:
        from indexing.cli.flags_show import list_of  # noqa: PLC0415

        raise typer.Exit(list_of(owner, as_json=as_json))
    from indexing.cli.flags_run import run_list  # noqa: PLC0415

    raise typer.Exit(run_async(run_list(invocation.settings(), as_json=as_json)))


@commands.command("set", epilog="Example: codetrove flags set enable_parallel true")
def set_flag(
    context: typer.Context,
    name: str = typer.Argument(metavar="NAME", help="Name of a flag, from 'codetrove flags list'."),
    value: bool = typer.Argument(metavar="true|false", help="What it is from now on."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Store a value that wins over the settings from now on; a running owner heeds it at once.

    Exit codes: 0 done, 2 there is no such flag, 3 unavailable.
    """
    _change(context, name, value, as_json=as_json)


@commands.command("unset", epilog="Example: codetrove flags unset enable_parallel")
def unset_flag(
    context: typer.Context,
    name: str = typer.Argument(metavar="NAME", help="Name of a flag, from 'codetrove flags list'."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Let a flag follow the settings again.

    Exit codes: 0 done, 2 there is no such flag, 3 unavailable.
    """
    _change(context, name, None, as_json=as_json)


def _change(context: typer.Context, name: str, value: bool | None, *, as_json: bool) -> None:
    invocation = invocation_of(context)
    if (owner := invocation.owner()) is not None:
        from indexing.cli.flags_show import change_of  # noqa: PLC0415

        raise typer.Exit(change_of(owner, name, value, as_json=as_json))
    from indexing.cli.flags_run import run_change  # noqa: PLC0415

    raise typer.Exit(run_async(run_change(invocation.settings(), name, value, as_json=as_json)))
