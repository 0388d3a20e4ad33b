"""The command line. Only what a command needs is loaded, when it runs: ``codetrove search`` starts from cold."""

from __future__ import annotations

import gc
import os


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit code."""
    # Looking for plugins of pydantic reads the metadata of every installed package, in each command's start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # What a start loads stays; looking for garbage in it, now and at the end, takes a fifth of a search's time.
    gc.disable()
    from indexing.cli.app import app  # noqa: PLC0415

    try:
        app(prog_name="codetrove")
    finally:
        gc.freeze()
