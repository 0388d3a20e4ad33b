"""Runs the child process that builds a graph, and ends it when nobody wants the graph any more."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from storage.errors import VectorStoreUnavailable
from storage.vectors import local_graph
from storage.vectors.scoring import Rows

CHILD_FROM_ROWS = 2_000
"""Rows from which starting a process, 0.2 s, is not most of the work."""


class BuildAborted(Exception):
    """The build was told to end; nothing of it counts."""


class Abort:
    """A wish to end builds, now running or begun later, from any thread."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._wished = False
        self._child: subprocess.Popen[bytes] | None = None

    def set(self) -> None:
        """End the child that runs, and let none begin."""
        with self._changing:
            self._wished = True
            if self._child is not None:
                self._child.kill()

    def clear(self) -> None:
        """Let builds run again."""
        with self._changing:
            self._wished = False

    def run(self, command: list[str], directory: Path) -> tuple[int, bytes]:
        """Run a child in ``directory`` to its end; returns its exit status and what it wrote to standard error.

        Raises ``BuildAborted``, and ``OSError`` where no process can be started.
        """
        with self._changing:
            if self._wished:
                raise BuildAborted
            self._child = subprocess.Popen(  # noqa: S603  (our own interpreter and file)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=directory,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        with self._child as child:
            # It ends when this pipe does, so also when we are killed.
            assert child.stderr is not None  # noqa: S101
            said = child.stderr.read()
            status = child.wait()
        with self._changing:
            self._child = None
            if self._wished:
                raise BuildAborted
        return status, said


def build_graph(abort: Abort, *, rows: Rows, rows_file: Path, old: Path | None, new: Path) -> None:
    """Write the graph file ``new`` of the rows, which ``rows_file`` holds too, after those in ``old``.

    Few rows are added here, many in a child process. Raises ``BuildAborted``, ``VectorStoreUnavailable`` where the
    child fails, and ``OSError``.
    """
    row_bytes = rows.shape[1] * rows.itemsize
    known = old.stat().st_size // row_bytes if old is not None else 0
    if len(rows) + known < CHILD_FROM_ROWS:
        local_graph.build(rows, str(old or ""), str(new))
        return
    program = str(Path(local_graph.__file__).resolve())
    arguments = [str(rows.shape[1]), str(rows_file), str(old or ""), str(new)]
    status, said = abort.run([sys.executable, "-P", program, *arguments], new.parent)
    if status:
        last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise VectorStoreUnavailable(f"the process that builds the graph {str(new)!r} ended with {status}: {last}")
