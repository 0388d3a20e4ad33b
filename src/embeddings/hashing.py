"""A deterministic encoder without weights, for tests, dry runs and measurements of everything around a model.

Feature hashing (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009): every word, and
every part of an identifier, is hashed to one dimension and a sign; signed counts are damped by a square root and
scaled to unit length. Texts that share words are near each other, nothing more.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Sequence
from hashlib import blake2b
from itertools import chain

from embeddings.counters import EncoderCounters
from embeddings.encoder import EncoderSpec, TextKind, Vectors
from embeddings.errors import EncodeFailed
from embeddings.fingerprint import fingerprint_of

HASHING_DIMENSION = 384

_SCHEME = "hashing-1"
_WORD = re.compile(r"\w+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
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


class _Features(dict[str, tuple[int, ...]]):
    """The hashed features of each word that was seen, of the word and the parts of an identifier.

    A feature is ``2 * bucket + (1 if the sign is negative)``.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self._dimension = dimension
        self.looked_up = 0
        """Words of all texts, each as often as it stands there."""

    def __missing__(self, word: str) -> tuple[int, ...]:
        """The features of a new word."""
        found = self[word] = tuple(self._hashed(feature) for feature in _features_of(word))
        return found

    def forget_when_many(self) -> None:
        """Bounds the memory that a large tree's words take; nothing but speed depends on it."""
        if len(self) > _WORDS_REMEMBERED:
            self.clear()

    def _hashed(self, feature: str) -> int:
        digest = int.from_bytes(blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        return 2 * ((digest >> 1) % self._dimension) + (digest & 1)


def _features_of(word: str) -> tuple[str, ...]:
    """The word and the parts of it, in lower case: ``parseHTTPHeader`` → itself, parse, http, header."""
    parts = [part.lower() for part in _PART.findall(word)]
    return (word.lower(), *parts) if len(parts) > 1 else (word.lower(),)


def _unit_rows(texts: Sequence[str], features: _Features) -> Vectors:
    """Hashed texts as rows of unit length."""
    import numpy as np  # noqa: PLC0415  (60 ms that a command which encodes nothing does not pay)

    features.forget_when_many()
    dimension = features._dimension  # noqa: SLF001 (one module)
    hashed: list[int] = []
    lengths = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        words, before = _WORD.findall(text), len(hashed)
        features.looked_up += len(words)
        hashed.extend(chain.from_iterable(map(features.__getitem__, words)))
        lengths[row] = len(hashed) - before
    rows = np.repeat(np.arange(len(texts)), lengths)
    places = np.array(hashed, dtype=np.int64) + 2 * dimension * rows
    counts = np.bincount(places, minlength=2 * dimension * len(texts)).reshape(len(texts), dimension, 2)
    vectors = (counts[:, :, 0] - counts[:, :, 1]).astype(np.float32)
    for row in np.flatnonzero(~vectors.any(axis=1)).tolist():
        # No word in it, or all of them cancelled each other: such a text is like its equals only.
        bucket, negative = divmod(features._hashed(f"\0{texts[row]}"), 2)  # noqa: SLF001 (one module)
        vectors[row, bucket] = -1.0 if negative else 1.0
    vectors = np.sign(vectors) * np.sqrt(np.abs(vectors))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
