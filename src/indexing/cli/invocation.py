"""The global options of a command, and the settings that come of them."""

from __future__ import annotations

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
_WHERE_VARIABLES: Final = {_DATA_DIR_VARIABLE, "CODETROVE_STORAGE", "CODETROVE_CONFIG"}


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
        """Return the data directory, without loading the settings where no file need be read for it.

        That takes as long as everything else a client of an owner does; it is the owner's settings that count there.
        """
        if self.data_dir is not None:
            return self.data_dir.expanduser().absolute()
        named = [value for name, value in os.environ.items() if name.upper() == _DATA_DIR_VARIABLE]
        if len(named) == 1 and (path := Path(named[0]).expanduser()).is_absolute():
            return path
        return self._default_data_directory() or self.settings().storage.data_dir

    def _default_data_directory(self) -> Path | None:
        """The default, where no variable and no file names a directory."""
        if self.config is not None or any(name.upper() in _WHERE_VARIABLES for name in os.environ):
            return None
        from platformdirs import user_config_path, user_data_path  # noqa: PLC0415

        try:
            text = (user_config_path("codetrove") / "config.yaml").read_text(encoding="utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError):
            return None
        return None if "data_dir" in text or "\\" in text else user_data_path("codetrove")

    def owner(self) -> ControlClient | None:
        """Return a client of the process that owns the data directory, None where nobody does.

        Raises the errors of ``indexing.control``.
        """
        from indexing.control import find_owner  # noqa: PLC0415

        return find_owner(self.data_directory())


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run the work of a command on an event loop, which a command that is only a client does not load."""
    import asyncio  # noqa: PLC0415

    return asyncio.run(work)


def invocation_of(context: typer.Context) -> Invocation:
    """Return the global options that a command was called with."""
    found = context.find_object(Invocation)
    return Invocation() if found is None else found
