"""The command line. Only what a command needs is loaded, when it runs: ``codetrove search`` starts from cold."""

from __future__ import annotations


def main() -> None:
    """Run the command that the arguments name; ends the process with its exit code."""
    from indexing.cli.app import app  # noqa: PLC0415

    app(prog_name="codetrove")
