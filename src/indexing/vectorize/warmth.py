"""Whether an encoder answers at once: its model is loaded beside other work, and searches do not wait for it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog

from embeddings import EmbeddingsError

if TYPE_CHECKING:
    from embeddings import Encoder

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 30.0
"""Before a model that could not be loaded is tried again."""
_PROBE: Final = "warm"


class Warmth:
    """Loads the model of an encoder when it is first wanted, once, in a task of its own."""

    def __init__(self, encoder: Encoder) -> None:
        """Prepare; nothing is loaded before `begin` or `ready`."""
        self._encoder = encoder
        self._task: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self.is_warm = False
        self.problem = ""
        """Why the model could not be loaded; empty while it is being loaded, and when it is."""

    def begin(self) -> None:
        """Load the model, unless that was done, is under way, or failed a moment ago."""
        if not self.is_warm and self._task is None and monotonic() >= self._retry_at:
            self.problem = ""
            self._task = asyncio.create_task(self._warm(), name="warm-encoder")

    async def ready(self, seconds: float) -> bool:
        """Return whether the encoder answers at once, after waiting for that at most so long."""
        if self.is_warm:
            return True
        self.begin()
        if self._task is not None and seconds > 0:
            # Not a timeout around the task: who gives up waiting must not end the loading.
            await asyncio.wait([self._task], timeout=seconds)
        return self.is_warm

    async def aclose(self) -> None:
        """Give up loading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _warm(self) -> None:
        try:
            await self._encoder.encode([_PROBE], "query")
        except EmbeddingsError as error:
            self.problem = str(error)
            self._retry_at = monotonic() + RETRY_SECONDS
            log.warning("model.not_loaded", model=self._encoder.spec.model, error=self.problem)
        else:
            self.is_warm = True
        finally:
            self._task = None
