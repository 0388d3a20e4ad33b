"""``codetrove model``: which models there are, which one the vectors are of, and the change to another."""

from __future__ import annotations

import typer

from indexing.cli.invocation import invocation_of, run_async

commands = typer.Typer(
    help="Models that turn code into vectors.",
    epilog="Example: codetrove model list",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@commands.callback()
def model() -> None:
    """Models that turn code into vectors."""


@commands.command("list", epilog="Example: codetrove model list --json")
def list_models(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Print the models that have a name, whether they are on this machine, and which one serves searches.

    Any directory with a model of the Hugging Face layout can be used as well, by its path.

    Exit codes: 0 done.
    """
    from indexing.cli.model_run import run_list  # noqa: PLC0415

    raise typer.Exit(run_async(run_list(invocation_of(context).settings(), as_json=as_json)))


@commands.command("fetch", epilog="Example: codetrove model fetch unixcoder-base")
def fetch_model(
    context: typer.Context,
    name: str = typer.Argument(metavar="NAME", help="Name of a model, from 'codetrove model list'."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Bring a model to this machine: its pinned revision, safetensors only, checked against its hash where known.

    Exit codes: 0 it is here, 3 unavailable (no network, refused files).
    """
    from indexing.cli.model_run import run_fetch  # noqa: PLC0415

    invocation_of(context).settings()
    raise typer.Exit(run_async(run_fetch(name, as_json=as_json)))


@commands.command("switch", epilog="Example: codetrove model switch all-minilm-l6-v2")
def switch_model(
    context: typer.Context,
    name: str = typer.Argument(metavar="MODEL", help="Name of a model, or directory of one (with a slash in it)."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object at the end."),
) -> None:
    """Make vectors of another model beside those that serve, and change over when all are there.

    Searches go on all the while, in the vectors of one model each. Ctrl-C stops; any later run of an owner goes on from
    there. The former vectors are deleted after the change.

    Exit codes: 0 the change is done, 1 stopped before the end, 2 the settings name a model, 3 unavailable.
    """
    from indexing.cli.model_run import run_switch  # noqa: PLC0415
    from indexing.control import OwnerRuns  # noqa: PLC0415

    invocation = invocation_of(context)
    if invocation.owner() is not None:
        raise OwnerRuns(
            "a running owner keeps its model; run 'codetrove stop', then switch, or set embeddings.model and start it"
            " again"
        )
    raise typer.Exit(run_async(run_switch(invocation.settings(), name, as_json=as_json)))
