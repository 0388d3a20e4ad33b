"""``codetrove token``: access tokens for the HTTP service and MCP, also while it runs."""

from __future__ import annotations

from enum import StrEnum

import typer

from indexing.cli.invocation import invocation_of

commands = typer.Typer(
    help="Access tokens for the HTTP service.",
    epilog="Example: codetrove token create editor --scope read --repo ~/src/flask",
    no_args_is_help=True,
    rich_markup_mode=None,
)


class ScopeName(StrEnum):
    """What a token is good for; each includes those before it."""

    READ = "read"
    INDEX = "index"
    ADMIN = "admin"


@commands.callback()
def token() -> None:
    """Access tokens for the HTTP service."""


@commands.command("create", epilog="Example: codetrove token create editor --scope read --repo ~/src/flask")
def create(
    context: typer.Context,
    name: str = typer.Argument(metavar="NAME", help="What it is called: letters, digits, '.', '_' and '-'."),
    scope: ScopeName = typer.Option(ScopeName.READ, "--scope", help="What it is good for."),
    repositories: list[str] = typer.Option(
        [], "--repo", metavar="PATH|UUID", help="Only this repository; repeatable. Without it: all, later ones too."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Make a token and print it, this once: only its hash is kept. A running service takes it at once.

    Exit codes: 0 done, 2 the name cannot be used or is taken, or a repository is not indexed, 3 unavailable.
    """
    from indexing.cli.token_run import run_create  # noqa: PLC0415

    settings = invocation_of(context).settings()
    raise typer.Exit(run_create(settings, name, scope.value, repositories, as_json=as_json))


@commands.command("list", epilog="Example: codetrove token list --json")
def list_tokens(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print the name, scope and repositories of every token; the tokens themselves are not kept.

    Exit codes: 0 done, 3 unavailable.
    """
    from indexing.cli.token_run import run_list  # noqa: PLC0415

    raise typer.Exit(run_list(invocation_of(context).settings(), as_json=as_json))


@commands.command("revoke", epilog="Example: codetrove token revoke editor")
def revoke(
    context: typer.Context,
    name: str = typer.Argument(metavar="NAME|ID", help="Name or id of a token, from 'codetrove token list'."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Make a token, and every page that signed in with it, good for nothing; a running service follows in a second.

    Exit codes: 0 done, 2 there is no such token, 3 unavailable.
    """
    from indexing.cli.token_run import run_revoke  # noqa: PLC0415

    raise typer.Exit(run_revoke(invocation_of(context).settings(), name, as_json=as_json))
