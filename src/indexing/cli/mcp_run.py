"""One ``codetrove mcp`` from its start to the end of its input."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexing.settings import Settings


def run_mcp(settings: Settings, *, allow_index: bool) -> None:
    """Serve on standard input and output."""
    # The SDK builds thousands of classes that stay: collecting in between finds nothing and takes a tenth of the start.
    gc.disable()
    from indexing.mcp.stdio import serve_stdio  # noqa: PLC0415 - most of the start, and only for this command

    gc.freeze()
    gc.enable()
    # The SDK reads in a thread that cannot be woken; a process that only reads has nothing to finish.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve_stdio(settings, allow_index=allow_index))
