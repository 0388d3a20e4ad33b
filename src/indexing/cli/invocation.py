"""The global options of a command, and the settings that come of them."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from indexing.control import ControlClient
    from indexing.settings import Settings

T = TypeVar("T")

_DATA_DIR_VARIABLE: Final = "CODETROVE_STORAGE__DATA_DIR"
_OTHER_VARIABLES: Final = {_DATA_DIR_VARIABLE, "CODETROVE_STORAGE", "CODETROVE_CONFIG"}
"""In some spelling: what they say or do wrong is for ``load_settings`` to tell."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What was given before the command's name."""

    data_dir: Path | None = None
    config: Path | None = None
    verbose: bool = False

    def overrides(self) -> dict[str, object]:
        """Return the settings that the options stand for, by dotted key."""
        return {} if self.data_dir is None else {"storage.data_dir": str(self.data_dir.expanduser().absolute())}

    def settings(self, more: Mapping[str, object] | None = None) -> Settings:
        """Load the settings and set the logs up; ``more`` are those that a command's own options stand for."""
        from indexing.logs import configure_logs  # noqa: PLC0415
        from indexing.settings import load_settings  # noqa: PLC0415

        settings = load_settings(self.config, {**self.overrides(), **(more or {})})
        configure_logs(settings.log, verbose=self.verbose)
        return settings

    def data_directory(self) -> Path:
        """Return the data directory, without loading the settings where that is not needed for it.

        That takes as long as everything else a client of an owner does; it is the owner's settings that count there.
        """
        if self.data_dir is not None:
            return self.data_dir.expanduser().absolute()
        named = [value for name, value in os.environ.items() if name.upper() == _DATA_DIR_VARIABLE]
        if len(named) == 1 and (path := Path(named[0]).expanduser()).is_absolute():
            return path
        if not any(name.upper() in _OTHER_VARIABLES and name != "CODETROVE_CONFIG" for name in os.environ):
            from indexing.settings.where import data_directory_of  # noqa: PLC0415

            if (found := data_directory_of(self.config)) is not None:
                return found
        return self.settings().storage.data_dir

    def owner(self) -> ControlClient | None:
        """Return a client of the process that owns the data directory, None where nobody does.

        Raises the errors of ``indexing.control``.
        """
        from indexing.control import find_owner  # noqa: PLC0415

        return find_owner(self.data_directory())


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run the work of a command on an event loop, which a command that is only a client does not load."""
    import asyncio  # noqa: PLC0415

    gc.enable()  # see ``main``
    return asyncio.run(work)


def invocation_of(context: typer.Context) -> Invocation:
    """Return the global options that a command was called with."""
    found = context.find_object(Invocation)
    return Invocation() if found is None else found
