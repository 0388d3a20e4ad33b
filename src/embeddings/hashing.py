"""A deterministic encoder without weights, for tests, dry runs and measurements of everything around a model.

Feature hashing (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009): every word, and
every part of an identifier, is hashed to one dimension and a sign; signed counts are damped by a square root and
scaled to unit length. Texts that share words are near each other, nothing more.
"""

from __future__ import annotations

import asyncio
import re
import struct
import threading
from collections.abc import Sequence
from hashlib import blake2b

from embeddings.counters import EncoderCounters
from embeddings.encoder import EncoderSpec, TextKind, Vectors
from embeddings.errors import EncodeFailed
from embeddings.fingerprint import fingerprint_of

HASHING_DIMENSION = 384

_SCHEME = "hashing-1"
_WORD = re.compile(r"\w+")
_SPACED = {code: " " for code in range(128) if not _WORD.fullmatch(chr(code))}
"""What stands between words of ASCII: to replace it and split is four times as fast as to search for ``_WORD``."""
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_FEATURE = struct.Struct("=i")
_WORDS_REMEMBERED = 1 << 16
_NO_WINDOW = 1 << 31


class HashingEncoder:
    """Implements ``Encoder`` by feature hashing; equal in every process and on every machine."""

    def __init__(self, dimension: int = HASHING_DIMENSION, *, text_template: str = "") -> None:
        """Make an encoder of ``dimension`` ≥ 1 dimensions; ``text_template`` as in ``resolve``."""
        if dimension < 1:
            raise ValueError(f"dimension is {dimension!r}; it must be at least 1")
        self._spec = EncoderSpec(
            model=f"hashing-{dimension}",
            fingerprint=hashing_fingerprint(dimension, text_template),
            dimension=dimension,
            window=_NO_WINDOW,
            max_in_flight=1,
        )
        self._lock = threading.Lock()
        self._features = _Features(dimension)
        self._closed = False
        self.counters = EncoderCounters()

    @property
    def spec(self) -> EncoderSpec:
        """What this encoder is."""
        return self._spec

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:  # noqa: ARG002 (a query is hashed alike)
        """Returns ``(len(texts), dimension)`` float32, rows of unit length, never NaN."""
        if self._closed:
            raise EncodeFailed("the hashing encoder is closed; open a new one")
        return await asyncio.to_thread(self._encode, tuple(texts))

    async def aclose(self) -> None:
        """Ends the encoder."""
        self._closed = True

    def _encode(self, texts: Sequence[str]) -> Vectors:
        with self._lock:
            before = self._features.looked_up
            vectors = _unit_rows(texts, self._features)
            self.counters.texts += len(texts)
            self.counters.tokens += self._features.looked_up - before
        return vectors


def hashing_fingerprint(dimension: int, text_template: str = "") -> str:
    """The fingerprint of a hashing encoder; ``text_template`` as in ``resolve``."""
    return fingerprint_of(
        weights=_SCHEME,
        tokenizer=_SCHEME,
        pooling="counts",
        template=text_template,
        window_policy="none",
        dimension=dimension,
        precision="float",
    )


class _Features(dict[str, bytes]):
    """The hashed features of each word that was seen, of the word and the parts of an identifier, one after the other.

    A feature is ``2 * bucket + (1 if the sign is negative)``, as an int32: a text has these bytes put together.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.looked_up = 0
        """Words of all texts, each as often as it stands there."""

    def __missing__(self, word: str) -> bytes:
        """The features of a new word: ``parseHTTPHeader`` → of itself, parse, http, header."""
        found = _FEATURE.pack(self.hashed(word.lower()))
        parts = _PART.findall(word)
        if len(parts) > 1:
            found += b"".join([self[part.lower()] for part in parts])
        self[word] = found
        return found

    def forget_when_many(self) -> None:
        """Bounds the memory that a large tree's words take; nothing but speed depends on it."""
        if len(self) > _WORDS_REMEMBERED:
            self.clear()

    def of(self, text: str) -> bytes:
        """The features of all words of a text."""
        words = text.translate(_SPACED).split() if text.isascii() else _WORD.findall(text)
        self.looked_up += len(words)
        return b"".join(map(self.__getitem__, words))

    def hashed(self, feature: str) -> int:
        """One feature, by its hash."""
        digest = int.from_bytes(blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        return 2 * ((digest >> 1) % self.dimension) + (digest & 1)


def _unit_rows(texts: Sequence[str], features: _Features) -> Vectors:
    """Hashed texts as rows of unit length."""
    import numpy as np  # noqa: PLC0415  (60 ms that a command which encodes nothing does not pay)

    features.forget_when_many()
    dimension = features.dimension
    hashed = [features.of(text) for text in texts]
    lengths = [len(each) // _FEATURE.size for each in hashed]
    rows = np.repeat(np.arange(len(texts)), lengths)
    places = np.frombuffer(b"".join(hashed), dtype=np.int32) + 2 * dimension * rows
    counts = np.bincount(places, minlength=2 * dimension * len(texts)).reshape(len(texts), dimension, 2)
    vectors = (counts[:, :, 0] - counts[:, :, 1]).astype(np.float32)
    for row in np.flatnonzero(~vectors.any(axis=1)).tolist():
        # No word in it, or all of them cancelled each other: such a text is like its equals only.
        bucket, negative = divmod(features.hashed(f"\0{texts[row]}"), 2)
        vectors[row, bucket] = -1.0 if negative else 1.0
    vectors = np.sign(vectors) * np.sqrt(np.abs(vectors))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
