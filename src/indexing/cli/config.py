"""``codetrove config show``: the settings in force and where each comes from."""

from __future__ import annotations

import typer

from indexing.cli.invocation import invocation_of
from indexing.cli.terminal import say_json, say_result

commands = typer.Typer(
    help="Settings.",
    epilog="Example: codetrove config show",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.callback()
def config() -> None:
    """Settings."""


@commands.command("show", epilog="Example: codetrove config show --json")
def show(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print every setting in force: its key, its value, and what set it.

    Exit codes: 0 done, 2 a setting cannot be used.
    """
    from indexing.cli.config_sources import sourced_settings  # noqa: PLC0415

    invocation = invocation_of(context)
    settings = invocation.settings()
    found = sourced_settings(settings, invocation.config, invocation.overrides())
    if as_json:
        say_json({"schema": 1, "settings": {each.key: {"value": each.value, "source": each.source} for each in found}})
        return
    width = max(len(each.key) for each in found)
    for each in found:
        say_result(f"{each.key.ljust(width)} = {each.shown()}  ({each.source})")
