"""The global options of a command, and the settings that come of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexing.settings import Settings


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
        from indexing.cli.logs import configure_logs  # noqa: PLC0415
        from indexing.settings import load_settings  # noqa: PLC0415

        settings = load_settings(self.config, {**self.overrides(), **(more or {})})
        configure_logs(settings.log, verbose=self.verbose)
        return settings


def invocation_of(context: typer.Context) -> Invocation:
    """Return the global options that a command was called with."""
    found = context.find_object(Invocation)
    return Invocation() if found is None else found
