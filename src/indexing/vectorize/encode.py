"""Encodes the texts of a batch, and finds the ones that cannot be encoded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from embeddings import EncodeFailed
from indexing.vectorize.work_meter import VectorWork
from storage import DimensionMismatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from embeddings import Encoder
    from storage import Vectors

NOT_FINITE = "the model gave no usable vector: not finite, or zero"

PROBE = "def probe(value):\n    return value\n"
"""A text that every encoder that works can encode."""

Outcome: TypeAlias = "tuple[dict[bytes, Vectors], dict[bytes, str]]"
"""({hash: (dimension,) vector}, {hash: why there is none})"""


async def encode_texts(encoder: Encoder, texts: Mapping[bytes, str], meter: VectorWork | None = None) -> Outcome:
    """Encode texts by their hash; a call that fails is repeated with each half of its texts, down to single ones.

    What was repeated and refused is counted in ``meter``. Raises ``EncodeFailed`` where `PROBE` fails as well: then no
    text is to blame, and none is refused; and ``DimensionMismatch`` where the encoder is not what it says.
    """
    vectors: dict[bytes, Vectors] = {}
    refused: dict[bytes, str] = {}
    meter = meter or VectorWork()
    todo = [list(texts)]
    while todo:
        hashes = todo.pop()
        try:
            rows = await encoder.encode([texts[each] for each in hashes], "document")
        except EncodeFailed as error:
            if len(hashes) > 1:
                meter.encode_retries += 1
                middle = math.ceil(len(hashes) / 2)
                todo += [hashes[middle:], hashes[:middle]]
                continue
            await encoder.encode([PROBE], "document")
            refused[hashes[0]] = str(error) or type(error).__name__
            continue
        if rows.shape != (len(hashes), encoder.spec.dimension):
            raise DimensionMismatch(
                f"the encoder {encoder.spec.model!r} gave an array of shape {rows.shape} for {len(hashes)} texts, and "
                f"says that it has {encoder.spec.dimension} dimensions; nothing of it is kept"
            )
        rounded = rows.astype(np.float16)
        usable: list[bool] = np.logical_and(np.isfinite(rounded).all(axis=1), rounded.any(axis=1)).tolist()
        for each, row, is_usable in zip(hashes, expand(rounded), usable, strict=True):
            if is_usable:
                vectors[each] = row
            else:
                refused[each] = NOT_FINITE
    meter.encode_errors += len(refused)
    return vectors, refused


def expand(rounded: NDArray[np.float16]) -> Vectors:
    """Return what stands for vectors once they were kept in half precision.

    A vector that comes from the encoder passes through the same rounding as one from the cache: which way it came can
    then not be seen in a score.
    """
    return rounded.astype(np.float32)
