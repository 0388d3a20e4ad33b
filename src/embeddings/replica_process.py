"""A replica seen from its owner: started, fed, watched and, when it must be, killed."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import structlog

from embeddings import errors
from embeddings.counters import EncoderCounters
from embeddings.encoder import TextKind, Vectors
from embeddings.replica_messages import (
    LENGTH_BYTES,
    EncodeReply,
    EncodeRequest,
    ReplicaSetup,
    decode_reply,
    encode_frame,
    request_of,
)
from embeddings.shared_rows import SharedRows

CauseOfDeath: TypeAlias = Literal["no_answer", "ended", "bad_answer"]

START_SECONDS = 120.0
"""How long torch and the weights may take to load, from a slow disk too; a longer deadline of requests counts here."""

_ENDING_SECONDS = 5.0
_ENVIRONMENT = {
    # With -P: neither the working directory nor a tree may lend the replica a module.
    "PYTHONSAFEPATH": "1",
    # Read by huggingface_hub and transformers: files of this machine are all that there is.
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

_LEFT_BEHIND: set[asyncio.Task[tuple[bytes, bytes]]] = set()
"""Processes that did not end when they were killed."""

log = structlog.get_logger(__name__)


class ReplicaDied(Exception):
    """The process ended, or was ended, before it answered."""

    def __init__(self, cause: CauseOfDeath, status: int | None, seconds: float) -> None:
        """Keep the cause, the exit status, and how long an answer was waited for at most."""
        told = {
            "no_answer": f"it gave no answer within its deadline of {seconds:g} s and was killed",
            "ended": f"it ended by itself with status {status}",
            "bad_answer": "its answer made no sense and it was killed",
        }
        super().__init__(told[cause])
        self.cause = cause


class ReplicaProcess:
    """One process with one encoder; it works on one request at a time."""

    def __init__(
        self, setup: ReplicaSetup, *, dimension: int, directory: Path, deadline_seconds: float, start_seconds: float
    ) -> None:
        """Prepare to start in ``directory``; without an answer for so many seconds the process counts as hung."""
        self._setup, self._dimension, self._directory = setup, dimension, directory
        self._deadline_seconds = deadline_seconds
        self._start_seconds = max(start_seconds, deadline_seconds)
        self._process: asyncio.subprocess.Process | None = None
        self._ending: asyncio.Task[tuple[bytes, bytes]] | None = None
        self._rows: SharedRows | None = None
        self._is_loaded = False
        self.starts = 0
        self.is_busy = False
        """Whether it has a request in hand."""
        self.counters = EncoderCounters()

    @property
    def pid(self) -> int | None:
        """Process id, None while it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it runs and its model is loaded."""
        return self._is_loaded and self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and wait until its model is loaded and has encoded something.

        Raises ``ReplicaDied``, the errors of loading as they were raised there, and ``OSError`` where no process can be
        started.
        """
        await self.aclose()
        self.starts += 1
        self._rows = SharedRows.create()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "embeddings.replica_worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            cwd=self._directory, env=os.environ | _ENVIRONMENT, pass_fds=(self._rows.descriptor,),
            start_new_session=True,
        )  # fmt: skip
        try:
            await self._ask(replace(self._setup, rows=self._rows.descriptor), self._start_seconds)
        except errors.EmbeddingsError:
            await self.aclose()
            raise
        self._is_loaded = True

    async def encode(self, texts: tuple[str, ...], kind: TextKind) -> Vectors:
        """Shape ``(len(texts), dimension)``; raises ``ReplicaDied``, and ``EncodeFailed`` as it was raised there."""
        self.is_busy = True
        try:
            reply = await self._ask(request_of(texts, kind), self._deadline_seconds)
            assert self._rows is not None  # noqa: S101  (made with the process)
            if reply.rows != len(texts):
                raise await self._death("bad_answer", self._deadline_seconds)
            try:
                return self._rows.read(reply.rows, self._dimension)
            except ValueError as error:  # fewer rows than it said
                raise await self._death("bad_answer", self._deadline_seconds) from error
        finally:
            self.is_busy = False

    async def aclose(self) -> None:
        """End the process at once and give back its memory; may be called twice."""
        self._is_loaded = False
        rows, self._rows = self._rows, None
        if rows is not None:
            rows.close()
        process = self._process
        if process is None:
            return
        if self._ending is None:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
            # Reading the pipes to their end lets the transport close before the loop does.
            self._ending = asyncio.create_task(process.communicate())
        ended, _ = await asyncio.wait((self._ending,), timeout=_ENDING_SECONDS)
        if not ended:
            # A driver that hangs in the kernel keeps even a killed process; waiting for it would hang us as well.
            log.error("encoder.replica_does_not_end", pid=process.pid, replica=self._setup.number)
            _LEFT_BEHIND.add(self._ending)
        self._process = self._ending = None

    async def _ask(self, message: ReplicaSetup | EncodeRequest, seconds: float) -> EncodeReply:
        process = self._process
        assert process is not None  # noqa: S101  (started first)
        assert process.stdin is not None  # noqa: S101  (asked for)
        assert process.stdout is not None  # noqa: S101  (asked for)
        try:
            async with asyncio.timeout(seconds):
                process.stdin.write(encode_frame(message))
                await process.stdin.drain()
                length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "big")
                reply = decode_reply(await process.stdout.readexactly(length))
        except TimeoutError as error:
            raise await self._death("no_answer", seconds) from error
        except (BrokenPipeError, ConnectionResetError, asyncio.IncompleteReadError) as error:
            raise await self._death("ended", seconds) from error
        except msgspec.MsgspecError as error:
            raise await self._death("bad_answer", seconds) from error
        self.counters.add(reply.counters)
        for told in reply.announcements:
            log.warning(told.event, **told.values, replica=self._setup.number)
        if reply.error:
            raise getattr(errors, reply.error, errors.EncodeFailed)(reply.message)
        return reply

    async def _death(self, cause: CauseOfDeath, seconds: float) -> ReplicaDied:
        process = self._process
        assert process is not None  # noqa: S101  (it was asked something)
        if cause == "ended":
            # Signalling a child that has just ended makes subprocess reap it, and asyncio loses its exit status.
            with suppress(TimeoutError):
                async with asyncio.timeout(_ENDING_SECONDS):
                    await process.wait()
        await self.aclose()
        return ReplicaDied(cause, process.returncode, seconds)
