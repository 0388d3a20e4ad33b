"""The pipe that a worker process answers into, read in gulps: a look at it for each report would cost too much."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from indexing.frames import frame_in

_GULP_BYTES: Final = 1 << 20


class ReportPipe:
    """Frames out of a pipe; the end for writing goes to the process, and is closed here once it has it."""

    def __init__(self) -> None:
        """Open the pipe."""
        self._fd, self.write_end = os.pipe()
        os.set_blocking(self._fd, False)
        self._buffer = bytearray()
        self._at = 0
        """Where the next frame begins in the buffer."""

    def take(self) -> bytes | None:
        """Return the body of the next frame if it was read already."""
        found = frame_in(self._buffer, self._at)
        if found is None:
            return None
        frame, self._at = found
        return frame

    async def next_frame(self) -> bytes:
        """Wait for the body of the next frame. Raises ``EOFError`` when the process closed its end."""
        while (frame := self.take()) is None:
            await self._gulp()
        return frame

    def close_write_end(self) -> None:
        """Close this process's copy: with the other one the pipe ends."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def close(self) -> None:
        """Close both ends. May be called again."""
        self.close_write_end()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _gulp(self) -> None:
        del self._buffer[: self._at]
        self._at = 0
        while True:
            try:
                data = os.read(self._fd, _GULP_BYTES)
            except BlockingIOError:
                await self._readable()
                continue
            if not data:
                raise EOFError("the process closed its pipe")
            self._buffer += data
            return

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        there = asyncio.Event()
        loop.add_reader(self._fd, there.set)
        try:
            await there.wait()
        finally:
            loop.remove_reader(self._fd)
