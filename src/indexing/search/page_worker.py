"""The page process: ``python -P -m indexing.search.page_worker CATALOG``, tasks in on stdin, answers out on stdout.

It reads the catalog and the files that hits stand for, writes nothing, and ends when stdin does.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from indexing.search.page import page
from indexing.search.page_messages import LENGTH_BYTES, PageAnswer, answer_of, decode_task, frame
from storage import connect_for_reading


def main() -> None:
    """Answer until stdin ends."""
    # When to stop is the parent's decision; signals of the terminal go to the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _private_stdout()
    with closing(connect_for_reading(Path(os.fsdecode(sys.argv[1])))) as connection:
        while body := _read(sys.stdin.buffer):
            try:
                task = decode_task(body)
                answer = answer_of(page(connection, task.found(), task.request, task.filters()))
            except Exception as error:  # noqa: BLE001  (the parent makes the page itself, and sees the error with it)
                answer = PageAnswer(problem=f"{type(error).__name__}: {error}")
            answers.write(frame(answer))
            answers.flush()


def _read(stream: BinaryIO) -> bytes:
    """The next message; empty at the end."""
    length = stream.read(LENGTH_BYTES)
    return stream.read(int.from_bytes(length, "big")) if len(length) == LENGTH_BYTES else b""


def _private_stdout() -> BinaryIO:
    """A stream on the inherited stdout; whatever else prints there goes to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


if __name__ == "__main__":
    main()
