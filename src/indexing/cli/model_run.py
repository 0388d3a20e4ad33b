"""What the commands of ``codetrove model`` do."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from embeddings import fetch, known_models, resolve, resolved_from_json
from indexing.cli.exits import ExitCode, UsageError
from indexing.cli.progress_show import updated
from indexing.cli.progress_view import vector_figures
from indexing.cli.signals import draining
from indexing.cli.stopping import Stop
from indexing.cli.terminal import say, say_json, say_result, size, style_for
from indexing.http.serving import serving
from indexing.runtime import open_owner
from indexing.settings import NO_MODEL
from indexing.vectorize.embedded_text import TEMPLATE
from storage import CatalogMissing, DataDirectory, kept_collections, open_reader

if TYPE_CHECKING:
    from embeddings import KnownModel
    from indexing.settings import Settings
    from indexing.vectors import OwnedVectors


async def run_list(settings: Settings, *, as_json: bool) -> ExitCode:
    """Print the known models; returns the exit code."""
    known = await asyncio.to_thread(known_models)
    states = await _states(settings)
    if as_json:
        models = [_model_json(model, states.pop(model.spec.name, None)) for model in known]
        # What is left is named by its directory.
        others = [{"name": name, "state": state} for name, state in states.items()]
        say_json({"schema": 1, "configured": settings.embeddings.model, "models": [*models, *others]})
        return ExitCode.OK
    style = style_for(sys.stdout)
    for model in known:
        state = states.pop(model.spec.name, "")
        where = (
            "built in" if model.path is None and model.here else size(model.size_bytes) if model.here else "not here"
        )
        line = f"{model.spec.name.ljust(22)} {model.spec.dimension:>4}-d  window {model.spec.window:>5}  {where}"
        say_result(style("good", f"{line}  {state}") if state else line)
        if model.problem:
            say_result(f"    {model.problem}")
    for name, state in states.items():
        say_result(style("good", f"{name}  {state}"))
    say_result(f"embeddings.model = {settings.embeddings.model}")
    return ExitCode.OK


async def run_fetch(name: str, *, as_json: bool) -> ExitCode:
    """Fetch a model; returns the exit code."""
    fetched = (0, 0)

    def count(done: int, total: int) -> None:
        nonlocal fetched
        fetched = done, total

    async with updated(lambda: f"{name}: {size(fetched[0])} of {size(fetched[1])}"):
        path = await asyncio.to_thread(fetch, name, count)
    if as_json:
        say_json({"schema": 1, "name": name, "path": None if path is None else str(path)})
        return ExitCode.OK
    say_result(f"{name} is in {path}" if path is not None else f"{name} needs no files")
    return ExitCode.OK


async def run_switch(settings: Settings, name: str, *, as_json: bool) -> ExitCode:
    """Change the model of the vectors; returns the exit code."""
    configured = settings.embeddings.model
    if configured not in ("auto", name):
        raise UsageError(
            f"embeddings.model = {configured!r} in the settings decides at each start;"
            f" set it to {name!r} or to 'auto', then switch"
        )
    resolved = await asyncio.to_thread(
        lambda: resolve(name, allow_download=settings.embeddings.download, text_template=TEMPLATE)
    )
    stop = Stop()
    with draining(stop.request):
        async with open_owner(settings) as owner, serving(owner, tcp=False):
            assert owner.vectors is not None  # noqa: S101  (the settings do not say "none")
            vectors = owner.vectors
            await vectors.switch(resolved)
            switching = asyncio.create_task(vectors.drained(), name="drain-vectors")
            async with updated(lambda: _figures(vectors)):
                await stop.or_end_of(switching)
            done = switching.done() and switching.result()
            switching.cancel()
            if as_json:
                say_json({"schema": 1, "model": name, "fingerprint": resolved.fingerprint, "serves": done})
            elif done:
                say_result(f"searches use {name} now; {_figures(vectors)}")
            if not done:
                reason = vectors.missing_because
                say(f"codetrove: {name} does not serve yet" + (f": {reason}" if reason else "; any later run goes on"))
    return ExitCode.OK if done else ExitCode.FINDINGS


async def _states(settings: Settings) -> dict[str, str]:
    """Return {name of a model: what its vectors do}; empty where nothing is indexed yet."""
    if settings.embeddings.model == NO_MODEL:
        return {}
    try:
        async with open_reader(DataDirectory(settings.storage.data_dir).catalog) as reader:
            rows = await kept_collections(reader)
    except CatalogMissing:
        return {}
    return {resolved_from_json(row.model).spec.name: row.state for row in rows}


def _model_json(model: KnownModel, state: str | None) -> dict[str, Any]:
    spec = model.spec
    return {
        "name": spec.name,
        "state": state,
        "here": model.here,
        "path": None if model.path is None else str(model.path),
        "bytes": model.size_bytes,
        "dimension": spec.dimension,
        "window": spec.window,
        "pooling": spec.pooling,
        "revision": spec.revision,
        "licence": spec.licence,
        "problem": model.problem,
    }


def _figures(vectors: OwnedVectors) -> str:
    progress = vectors.progress
    return "" if progress is None else vector_figures(progress)
