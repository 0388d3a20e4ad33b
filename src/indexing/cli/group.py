"""The boundary around every command: errors become one line on standard error and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from indexing.cli.exits import ExitCode, explain
from indexing.cli.terminal import say


class CommandGroup(TyperGroup):
    """All commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what it raises on purpose is told, never shown as a traceback."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                # Here, not when the interpreter ends: there nobody could tell a closed pipe from a full disk.
                sys.stdout.flush()
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except BrokenPipeError:
            # The reader of our output has seen enough; nothing is wrong.
            _discard_output()
            raise typer.Exit(ExitCode.OK) from None
        except Exception as error:  # task boundary: a command's end
            if type(error).__module__.startswith(("typer", "click")):
                raise
            explained = explain(error)
            if explained is None:
                say("codetrove: this is a defect of codetrove; please report it with what follows")
                traceback.print_exc(file=sys.stderr)
                raise typer.Exit(ExitCode.UNAVAILABLE) from error
            code, message = explained
            for line in message.splitlines():
                say(f"codetrove: {line}")
            raise typer.Exit(code) from error


def _discard_output() -> None:
    import os  # noqa: PLC0415

    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
