"""Opens what answering needs: catalog and text index for reading only, beside an owner or without one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from storage import DataDirectory, TextIndex, open_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from indexing.settings import Settings
    from storage import Reader


@asynccontextmanager
async def open_for_search(settings: Settings) -> AsyncIterator[tuple[Reader, TextIndex]]:
    """Open catalog and text index; no lock, no migration. Raises the errors of ``storage``."""
    directory = DataDirectory(settings.storage.data_dir)
    if directory.path.exists():
        await asyncio.to_thread(directory.check_readable)
    async with open_reader(directory.catalog) as reader:
        index = await asyncio.to_thread(TextIndex.open_for_reading, directory.text)
        try:
            yield reader, index
        finally:
            await asyncio.to_thread(index.close)
