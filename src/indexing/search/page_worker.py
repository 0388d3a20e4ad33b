"""The page process: ``python -P -m indexing.search.page_worker CATALOG``, tasks in on stdin, answers out on stdout.

It reads the catalog and the files that hits stand for, writes nothing, and ends when stdin does.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from indexing.frames import encode_frame, private_stdout, read_frame
from indexing.search.page import page
from indexing.search.page_messages import PageAnswer, answer_of, decode_task
from indexing.search.query import analyse
from storage import connect_for_reading


def main() -> None:
    """Answer until stdin ends."""
    # When to stop is the parent's decision; signals of the terminal go to the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = private_stdout()
    with closing(connect_for_reading(Path(os.fsdecode(sys.argv[1])))) as connection:
        while body := read_frame(sys.stdin.buffer):
            try:
                task = decode_task(body)
                answer = answer_of(
                    page(connection, analyse(task.request.query), task.found(), task.request, task.filters())
                )
            except Exception as error:  # noqa: BLE001  (the parent makes the page itself, and sees the error with it)
                answer = PageAnswer(problem=f"{type(error).__name__}: {error}")
            answers.write(encode_frame(answer))
            answers.flush()


if __name__ == "__main__":
    main()
