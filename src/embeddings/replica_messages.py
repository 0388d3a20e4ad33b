"""What passes between an encoder and its replicas: frames of MessagePack, each behind its length.

Texts and row counts go through the pipes, vectors through ``SharedRows``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from embeddings.counters import EncoderCounters
from embeddings.encoder import TextKind

LENGTH_BYTES = 4

PROBE = "def probe(value):\n    return value\n"
"""What a replica encodes before it calls itself ready: one that cannot do this can do nothing."""


@dataclass(frozen=True, slots=True)
class ReplicaSetup:
    """All that a replica must know, sent once."""

    model: str
    """``ResolvedModel.to_json``."""
    number: int
    """0 for the first replica."""
    device: str
    """torch's name of it, or ``auto``."""
    cores: tuple[int, ...]
    """What it is bound to if it computes on the CPU; empty: to nothing."""
    threads: int
    rows: int = -1
    """The descriptor of ``SharedRows``."""


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """Texts to encode."""

    texts: list[bytes]
    """UTF-8, in which a lone surrogate is encoded like any other code point."""
    kind: TextKind


@dataclass(frozen=True, slots=True)
class Announcement:
    """A warning for the log of the owner."""

    event: str
    values: dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class EncodeReply:
    """The answer to a setup or to a request."""

    rows: int = 0
    """How many vectors lie in the shared memory."""
    error: str = ""
    """Name of a class of ``embeddings.errors``; empty if there was none."""
    message: str = ""
    announcements: list[Announcement] = field(default_factory=list)
    counters: EncoderCounters = field(default_factory=EncoderCounters)
    """Of this answer alone."""


_encode = msgspec.msgpack.Encoder().encode
decode_setup = msgspec.msgpack.Decoder(ReplicaSetup).decode
decode_request = msgspec.msgpack.Decoder(EncodeRequest).decode
decode_reply = msgspec.msgpack.Decoder(EncodeReply).decode


def request_of(texts: tuple[str, ...], kind: TextKind) -> EncodeRequest:
    """The request that ``texts_of`` reads."""
    return EncodeRequest([text.encode("utf-8", "surrogatepass") for text in texts], kind)


def texts_of(request: EncodeRequest) -> list[str]:
    """The texts of a request."""
    return [text.decode("utf-8", "surrogatepass") for text in request.texts]


def encode_frame(message: ReplicaSetup | EncodeRequest | EncodeReply) -> bytes:
    """A message behind its length."""
    body = _encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body
