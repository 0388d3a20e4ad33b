"""A worker process: ``python -P -m indexing.ingest.worker``, batches in on stdin, reports out on stdout.

It is started by ``worker_process`` and runs until stdin ends, which also happens when its parent is killed. What it
parses may hang or crash it; that costs the file in hand only. CPU time per file is bounded by an interval timer whose
signal keeps its default action, because a parser that holds the interpreter lock cannot be interrupted otherwise.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import TYPE_CHECKING, BinaryIO

from indexing.frames import encode_frame, private_stdout, read_frame
from indexing.ingest.messages import READY, FileReport, decode_batch, decode_setup
from indexing.ingest.prepare import prepare_file
from indexing.printable import printable
from indexing.sources import DirectoryHandles
from storage import Failure, KnownCuts, reach

if TYPE_CHECKING:
    from indexing.ingest.messages import BatchTask, FileTask, WorkerSetup

_PR_SET_PDEATHSIG = 1

_GARBAGE_THRESHOLD = 20_000
"""New objects between two looks for cycles; a file makes thousands, and hardly any cycle."""

_NICENESS = 5
"""Whoever commits and searches goes first where processors are short; else it costs nothing."""

_READ_AHEAD_FILES = 64
"""Files that the disk is asked for at once: waiting for one after the other takes a tenth of the time of a tree that is
not in memory. Asking takes a hundredth of it."""

_PIPE_BYTES = 1 << 20
"""Answers that wait in the pipe (Linux allows every user this much): the next file is cut while the owner is busy."""


def main() -> None:
    """Serve batches until stdin ends."""
    # Signals of the terminal go to the whole process group; when to stop is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _end_with_parent()
    os.nice(_NICENESS)
    answers = _wide_stdout()
    frames: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_frames, args=(frames,), daemon=True).start()
    setup = decode_setup(frames.get())
    known = KnownCuts(Path(setup.catalog))
    # What is loaded by now stays; looking through it again and again for cycles finds nothing.
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    reach("worker.start")
    answers.write(encode_frame(READY))
    answers.flush()
    while True:
        _serve(decode_batch(frames.get()), setup, known, answers)


def _serve(batch: BatchTask, setup: WorkerSetup, known: KnownCuts, answers: BinaryIO) -> None:
    try:
        handles = DirectoryHandles.open(Path(os.fsdecode(batch.root)))
    except OSError as error:
        for task in batch.files:
            failure = Failure(task.place, "vanished_root", error.strerror or str(error))
            answers.write(encode_frame(FileReport(failure=failure)))
        answers.flush()
        return
    with handles, known.as_of_now():
        for number, task in enumerate(batch.files):
            if number % _READ_AHEAD_FILES == 0:
                _read_ahead(batch, number, handles)
            began = perf_counter()
            signal.setitimer(signal.ITIMER_PROF, setup.cpu_seconds)
            report = _prepare(task, handles, batch, setup, known)
            signal.setitimer(signal.ITIMER_PROF, 0)
            answers.write(encode_frame(report.timed(perf_counter() - began)))
            answers.flush()


def _read_ahead(batch: BatchTask, first: int, handles: DirectoryHandles) -> None:
    """Let the disk fetch the files that come after the ``first``, while that one is read and cut."""
    for task in batch.files[first + 1 : first + 1 + _READ_AHEAD_FILES]:
        handles.read_ahead(task.place.path, batch.rules.max_file_bytes)


def _prepare(
    task: FileTask, handles: DirectoryHandles, batch: BatchTask, setup: WorkerSetup, known: KnownCuts
) -> FileReport:
    try:
        return prepare_file(
            task,
            handles,
            rules=batch.rules,
            repository_id=batch.repository_id,
            known=known,
            mode=batch.mode,
            finish=batch.finish,
            zstd_level=setup.zstd_level,
        )
    except Exception as error:  # noqa: BLE001  (task boundary: a defect costs this file only, and is told)
        _tell_of_defect()
        return FileReport(failure=Failure(task.place, "internal", f"{type(error).__name__}: {error}"))


def _tell_of_defect() -> None:
    """Write the traceback to standard error, line by line printable: its message may quote what is in a file."""
    lines = traceback.format_exc().rstrip("\n").split("\n")
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
    sys.stderr.flush()


def _end_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere the end of stdin is all there is.

    A parser that holds the interpreter lock, or a process that is suspended, would not see that end.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  (needed here only)

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _wide_stdout() -> BinaryIO:
    answers = private_stdout()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        # A user whose processes hold too much pipe memory already is refused; then it stays at 64 KiB.
        with suppress(OSError):
            fcntl.fcntl(answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return answers


def _read_frames(frames: SimpleQueue[bytes]) -> None:
    stream = sys.stdin.buffer
    while True:
        body = read_frame(stream)
        if body is None:
            # The parent closed the pipe or died: what is in hand is of no use to anyone.
            os._exit(0)
        frames.put(body)


def _run() -> None:
    """End at once however ``main`` ends: a normal exit aborts while the reading thread holds stdin."""
    try:
        main()
    except BrokenPipeError:
        os._exit(0)  # the parent died while it was being answered
    except BaseException:  # noqa: BLE001  (the process ends here, and its message is all that is left of it)
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    _run()
