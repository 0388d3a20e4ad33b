"""What passes between a process and those it starts: frames of MessagePack, each behind its length."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final

import msgspec

if TYPE_CHECKING:
    from asyncio import StreamReader

_LENGTH_BYTES: Final = 4
_encoder = msgspec.msgpack.Encoder()


def encode_frame(message: object) -> bytes:
    """Return a message as a frame."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def read_frame(stream: BinaryIO) -> bytes | None:
    """Return the body of the next frame; None at the end. Blocks."""
    length = stream.read(_LENGTH_BYTES)
    return stream.read(int.from_bytes(length, "big")) if len(length) == _LENGTH_BYTES else None


def frame_in(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    """Return the body of the frame that begins at ``at``, and where it ends; None where it is not whole yet."""
    body = at + _LENGTH_BYTES
    end = body + int.from_bytes(buffer[at:body], "big")
    return (bytes(memoryview(buffer)[body:end]), end) if body <= end <= len(buffer) else None


async def next_frame(stream: StreamReader) -> bytes:
    """Wait for the body of the next frame. Raises ``asyncio.IncompleteReadError`` at the end."""
    length = await stream.readexactly(_LENGTH_BYTES)
    return await stream.readexactly(int.from_bytes(length, "big"))


def private_stdout() -> BinaryIO:
    """Return a stream on the inherited stdout, and send whatever else prints there to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")
