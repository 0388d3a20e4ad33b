"""One ``codetrove stop``."""

from __future__ import annotations

import os
import re
import select
import signal
from typing import TYPE_CHECKING, Final

from indexing.cli.exits import ExitCode
from indexing.cli.terminal import say, say_json, say_result
from indexing.status import owner_of
from storage import DataDirectory, DataDirectoryInUse

if TYPE_CHECKING:
    from pathlib import Path

STOP_SCHEMA: Final = 1


def run_stop(data_dir: Path, timeout: float, *, as_json: bool) -> ExitCode:
    """Send SIGTERM to the owner of ``data_dir`` and wait up to ``timeout`` seconds; returns the exit code."""
    directory = DataDirectory(data_dir)
    # The name in the lock file is believed only of a process that has that very file open.
    named = re.match(r"process (\d+)\b", owner_of(directory))
    if named is None:
        if as_json:
            say_json({"schema": STOP_SCHEMA, "pid": None, "ended": False})
        say(f"codetrove: nobody owns {str(data_dir)!r}")
        return ExitCode.FINDINGS
    pid = int(named[1])
    ended = _ended(pid, directory, timeout)
    if as_json:
        say_json({"schema": STOP_SCHEMA, "pid": pid, "ended": ended})
    elif ended:
        say_result(f"process {pid} has ended")
    if not ended:
        say(f"codetrove: process {pid} is still at work; look with 'codetrove status', or stop it at once: kill {pid}")
    return ExitCode.OK if ended else ExitCode.FINDINGS


def _ended(pid: int, directory: DataDirectory, timeout: float) -> bool:
    """Whether the process ended in time. By its descriptor (pidfd_open(2)), which no other process ever gets."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not owner_of(directory).startswith(f"process {pid} "):
            return True  # it ended before we had it by its descriptor; whoever has the number now is left alone
        signal.pidfd_send_signal(process, signal.SIGTERM)
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        return bool(waiting.poll(int(timeout * 1000)))
    except ProcessLookupError:
        return True
    except PermissionError as error:
        raise DataDirectoryInUse(f"process {pid} owns the data directory and is another user's; ask them") from error
    finally:
        os.close(process)
