"""A replica: ``python -P -m embeddings.replica_worker``, an encoder in a process of its own.

``replica_process`` starts it. Texts come in over stdin, answers go out over stdout, vectors through memory that is
shared. It runs until stdin ends, which also happens when its parent is killed, and makes no network call.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from embeddings.counters import EncoderCounters
from embeddings.encoder import TextKind
from embeddings.errors import EmbeddingsError
from embeddings.hashing import HashingEncoder
from embeddings.replica_messages import (
    LENGTH_BYTES,
    PROBE,
    Announcement,
    EncodeReply,
    ReplicaSetup,
    decode_request,
    decode_setup,
    encode_frame,
    texts_of,
)
from embeddings.resolving import resolved_from_json
from embeddings.shared_rows import SharedRows

if TYPE_CHECKING:
    from embeddings.transformer import TransformerEncoder

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Load the model and serve requests until stdin ends."""
    # Signals of the terminal go to the whole process group; when to stop is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    answers = _private_stdout()
    frames: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_frames, args=(frames,), daemon=True).start()
    setup = decode_setup(frames.get())
    with asyncio.Runner() as runner:
        replica = _Replica(setup)
        _answer(answers, runner.run(replica.begin()))
        while True:
            request = decode_request(frames.get())
            _answer(answers, runner.run(replica.encode(texts_of(request), request.kind)))


class _Replica:
    """The encoder of this process and what it has to tell its owner."""

    def __init__(self, setup: ReplicaSetup) -> None:
        self._setup = setup
        self._rows = SharedRows(setup.rows)
        self._announcements: list[Announcement] = []
        self._encoder: HashingEncoder | TransformerEncoder | None = None

    async def begin(self) -> EncodeReply:
        """Load the model and see that it encodes."""
        try:
            self._encoder = self._open()
        except EmbeddingsError as error:
            return self._failed(type(error).__name__, error)
        reply = await self.encode([PROBE], "document")
        return replace(reply, counters=EncoderCounters(loads=reply.counters.loads))

    async def encode(self, texts: Sequence[str], kind: TextKind) -> EncodeReply:
        """Put the vectors of ``texts`` into the shared memory."""
        assert self._encoder is not None  # noqa: S101  (made by `begin`, without which there is no request)
        try:
            vectors = await self._encoder.encode(texts, kind)
            self._rows.write(vectors)
        except EmbeddingsError as error:
            return self._failed(type(error).__name__, error)
        except Exception as error:  # noqa: BLE001  (task boundary: a defect costs these texts only, and is told)
            traceback.print_exc()
            return self._failed("EncodeFailed", error)
        return EncodeReply(len(vectors), announcements=self._told(), counters=self._counted())

    def _open(self) -> HashingEncoder | TransformerEncoder:
        resolved, setup = resolved_from_json(self._setup.model), self._setup
        if resolved.path is None:
            _bind(setup.cores)
            return HashingEncoder(resolved.spec.dimension, text_template=resolved.text_template)
        from embeddings.transformer import TransformerEncoder, chosen_device  # noqa: PLC0415  (takes seconds)

        device = chosen_device(setup.device, setup.number)
        if device.partition(":")[0] == "cpu":
            _bind(setup.cores)
        return TransformerEncoder(resolved, threads=setup.threads, device=device, announce=self._announce)

    def _announce(self, event: str, **values: str | float) -> None:
        self._announcements.append(Announcement(event, values))

    def _failed(self, kind: str, error: Exception) -> EncodeReply:
        return EncodeReply(
            error=kind,
            message=str(error) or type(error).__name__,
            announcements=self._told(),
            counters=self._counted(),
        )

    def _told(self) -> list[Announcement]:
        told, self._announcements[:] = list(self._announcements), []
        return told

    def _counted(self) -> EncoderCounters:
        """What was counted since the last answer."""
        if self._encoder is None:
            return EncoderCounters()
        counted, self._encoder.counters = self._encoder.counters, EncoderCounters()
        return counted


def _answer(answers: BinaryIO, reply: EncodeReply) -> None:
    answers.write(encode_frame(reply))
    answers.flush()


def _bind(cores: tuple[int, ...]) -> None:
    """Keep this thread, and those that it starts from now on, on some cores where the system can do that."""
    if cores and sys.platform == "linux":
        os.sched_setaffinity(0, cores)


def _end_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends: a suspended one would not see the end of stdin."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  (needed here only)

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _private_stdout() -> BinaryIO:
    """A stream on the inherited stdout; whatever else prints there, as a library, goes to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


def _read_frames(frames: SimpleQueue[bytes]) -> None:
    stream = sys.stdin.buffer
    while True:
        length = stream.read(LENGTH_BYTES)
        if len(length) < LENGTH_BYTES:
            # The parent closed the pipe or died: nobody waits for what is in hand.
            os._exit(0)
        frames.put(stream.read(int.from_bytes(length, "big")))


def _run() -> None:
    """End at once however ``main`` ends: a normal exit waits for the thread that holds stdin."""
    try:
        main()
    except BrokenPipeError:
        os._exit(0)  # the parent died while it was being answered
    except BaseException:  # noqa: BLE001  (the process ends here, and its message is all that is left of it)
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    _run()
