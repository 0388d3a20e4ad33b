"""The command line. Only what a command needs is loaded, when it runs: ``codetrove search`` starts from cold."""

from __future__ import annotations

import os


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit code."""
    # Looking for plugins of pydantic reads the metadata of every installed package, in each command's start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from indexing.cli.app import app  # noqa: PLC0415

    app(prog_name="codetrove")
