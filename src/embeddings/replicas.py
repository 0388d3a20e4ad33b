"""An encoder made of several processes, each with the model: watched, replaced when they hang or die, bounded in tries.

A call is cut into pieces of similar length, which whichever replica is idle takes: queries first, then in the order of
the calls. So one call uses all replicas, a query waits for a piece and not for a call, and the deadline is a piece's.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import structlog

from embeddings.counters import EncoderCounters
from embeddings.encoder import EncoderSpec, TextKind, Vectors
from embeddings.errors import EmbeddingsError, EncodeFailed, EncoderLost
from embeddings.replica_messages import ReplicaSetup
from embeddings.replica_process import START_SECONDS, ReplicaDied, ReplicaProcess
from embeddings.windows import plan_batches

PIECE_CHARACTERS = 8192
"""Characters of a piece, each text counted as long as its longest: two or three batches of a model, which a query waits
for."""

MOST_TRIES = 2
"""Processes that a piece may cost before it is the piece's fault."""

MOST_FAILED_STARTS = 3
"""Processes in a row that die before they are ready, after which a replica is given up."""

_LEAST_CHARACTERS = 128
"""What a short text is counted as: bounds the texts of a piece."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Piece:
    """Texts that one replica encodes in one go."""

    texts: tuple[str, ...]
    kind: TextKind
    answer: asyncio.Future[Vectors]
    tries: int = 0


_Entry: TypeAlias = tuple[int, int, _Piece]
"""Rank (queries are 0), number (unique, in the order of the calls), piece: entries sort by the first two."""


class ReplicaEncoder:
    """Implements ``Encoder`` with processes, all of which start with the first call.

    One that gives no answer within ``deadline_seconds``, or dies, is replaced, and its texts are tried once more; then
    ``EncodeFailed`` is raised. A replica whose process dies three times in a row before it is ready is given up; when
    all are, every call raises ``EncoderLost``. A process that is ready has loaded the model and encoded a text.
    """

    def __init__(
        self,
        spec: EncoderSpec,
        setups: Sequence[ReplicaSetup],
        *,
        directory: Path,
        deadline_seconds: float,
        start_seconds: float = START_SECONDS,
    ) -> None:
        """Make an encoder; nothing is started before the first call of ``encode``."""
        if deadline_seconds <= 0:
            raise ValueError(f"deadline_seconds is {deadline_seconds!r}; it must be above 0")
        self._spec = spec
        self._deadline_seconds = deadline_seconds
        self._replicas = [
            ReplicaProcess(
                setup,
                dimension=spec.dimension,
                directory=directory,
                deadline_seconds=deadline_seconds,
                start_seconds=start_seconds,
            )
            for setup in setups
        ]
        self._waiting: asyncio.PriorityQueue[_Entry] = asyncio.PriorityQueue()
        self._called = asyncio.Event()
        self._numbers = itertools.count()
        self._serving: list[asyncio.Task[None]] = []
        self._left = len(self._replicas)
        self._lost = ""
        self._closed = False

    @property
    def spec(self) -> EncoderSpec:
        """What this encoder is."""
        return self._spec

    @property
    def counters(self) -> EncoderCounters:
        """What all replicas together have done, those that are gone included."""
        total = EncoderCounters()
        for replica in self._replicas:
            total.add(replica.counters)
        return total

    @property
    def replicas(self) -> tuple[ReplicaProcess, ...]:
        """The replicas, for those who count and watch them."""
        return tuple(self._replicas)

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """As ``Encoder.encode``. Raises ``EncoderLost`` too; a cancelled call stops after the pieces in hand."""
        self._check()
        vectors = np.empty((len(texts), self._spec.dimension), dtype=np.float32)
        if not texts:
            return vectors
        if not self._serving:
            self._serving = [asyncio.create_task(self._serve(replica)) for replica in self._replicas]
        plan = plan_batches([max(_LEAST_CHARACTERS, len(text)) for text in texts], PIECE_CHARACTERS)
        loop = asyncio.get_running_loop()
        pieces = [_Piece(tuple(texts[position] for position in part), kind, loop.create_future()) for part in plan]
        for piece in pieces:
            self._waiting.put_nowait((0 if kind == "query" else 1, next(self._numbers), piece))
        self._called.set()
        try:
            answers = await asyncio.gather(*(piece.answer for piece in pieces))
        finally:
            for piece in pieces:
                piece.answer.cancel()
        for part, rows in zip(plan, answers, strict=True):
            vectors[part] = rows
        return vectors

    async def aclose(self) -> None:
        """Ends all processes at once; calls under way raise ``EncodeFailed``."""
        self._closed = True
        serving, self._serving = self._serving, []
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        self._fail_waiting(self._is_closed())
        for replica in self._replicas:
            await replica.aclose()

    def _check(self) -> None:
        if self._closed:
            raise self._is_closed()
        if self._lost:
            raise EncoderLost(self._lost)

    async def _serve(self, replica: ReplicaProcess) -> None:
        """Work until cancelled, or until the replica is given up."""
        while True:
            # Started before there is anything in its hand: a replica that is ready takes what waits meanwhile.
            if not replica.is_ready and not await self._start(replica):
                return
            entry = await self._waiting.get()
            piece = entry[2]
            if piece.answer.done():
                continue
            if not replica.is_ready:
                # It died with nothing to do, for which the piece is not to blame.
                self._waiting.put_nowait(entry)
                continue
            try:
                rows = await replica.encode(piece.texts, piece.kind)
            except ReplicaDied as death:
                self._try_again(entry, death, replica)
            except EmbeddingsError as error:
                _fail(piece, error)
            except asyncio.CancelledError:
                _fail(piece, self._is_closed())
                raise
            except Exception as error:  # noqa: BLE001  (task boundary: the caller gets it, the replica is replaced)
                await replica.aclose()
                _fail(piece, error)
            else:
                if not piece.answer.done():
                    piece.answer.set_result(rows)

    async def _start(self, replica: ReplicaProcess) -> bool:
        """Start the replica; False where it is given up. Who waits for a model that cannot be loaded is told."""
        failed, reason = 0, ""
        while failed < MOST_FAILED_STARTS:
            asked = next(self._numbers)
            try:
                await replica.start()
            except ReplicaDied as death:
                failed += 1
                reason = str(death)
                log.warning("encoder.replica_not_started", model=self._spec.model, reason=reason)
            except Exception as error:  # noqa: BLE001  (task boundary: it goes to the callers)
                # The next process would fare no better: all are told now, not after a start each.
                self._fail_waiting(self._told(error), asked)
                if self._waiting.empty():
                    self._called.clear()
                    await self._called.wait()
            else:
                return True
        log.error("encoder.replica_given_up", model=self._spec.model, starts=replica.starts)
        self._left -= 1
        if self._left == 0:
            self._lose(reason)
        return False

    def _lose(self, reason: str) -> None:
        self._lost = (
            f"{MOST_FAILED_STARTS} processes in a row of each replica of the encoder {self._spec.model!r} died before "
            f"they were ready: {reason}; see the messages on stderr, give it more memory or set embeddings.replicas to "
            "0, and start again"
        )
        self._fail_waiting(EncoderLost(self._lost))

    def _told(self, error: Exception) -> EmbeddingsError:
        if isinstance(error, EmbeddingsError):
            return error
        return EncodeFailed(f"no process can be started for the encoder {self._spec.model!r}: {error!r}")

    def _try_again(self, entry: _Entry, death: ReplicaDied, replica: ReplicaProcess) -> None:
        piece = entry[2]
        piece.tries += 1
        log.warning(
            "encoder.replica_lost",
            model=self._spec.model,
            reason=str(death),
            texts=len(piece.texts),
            tries=piece.tries,
            starts=replica.starts,
        )
        if piece.tries < MOST_TRIES:
            # With its old number it comes before all that is newer.
            self._waiting.put_nowait(entry)
            return
        error = EncodeFailed(
            f"{piece.tries} processes of the encoder {self._spec.model!r} in turn were lost over {len(piece.texts)} "
            f"texts, the last time {death}; send fewer texts, or raise embeddings.deadline_seconds above "
            f"{self._deadline_seconds:g}"
        )
        error.__cause__ = death
        _fail(piece, error)

    def _fail_waiting(self, error: EmbeddingsError, before: int | None = None) -> None:
        """Fail all pieces that wait, or those with a number below ``before``."""
        later = []
        while not self._waiting.empty():
            entry = self._waiting.get_nowait()
            if before is None or entry[1] < before:
                _fail(entry[2], error)
            else:
                later.append(entry)
        for entry in later:
            self._waiting.put_nowait(entry)

    def _is_closed(self) -> EncodeFailed:
        return EncodeFailed(f"the encoder of {self._spec.model!r} is closed; open a new one")


def _fail(piece: _Piece, error: Exception) -> None:
    if not piece.answer.done():
        piece.answer.set_exception(error)
