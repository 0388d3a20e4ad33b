"""The name of a vector space: everything that changes a vector changes it."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["float", "int8"]
"""float32 and bfloat16 agree to a cosine of 0.9999 and share a class; 8-bit weights do not."""


def fingerprint_of(
    *,
    weights: str,
    tokenizer: str,
    pooling: str,
    template: str,
    window_policy: str,
    dimension: int,
    precision: Precision,
) -> str:
    """Hashes what decides about a vector to 32 hexadecimal digits (blake2b-128 over length-delimited parts).

    ``weights`` and ``tokenizer`` are hashes of files; ``template`` is how a text is put before the model: prefixes,
    mode token and special tokens, and how a caller composes the text of a chunk; ``window_policy`` says how a text
    longer than the window is cut and pooled.
    """
    digest = blake2b(digest_size=16, person=b"codetrove-vec")
    for part in (weights, tokenizer, pooling, template, window_policy, str(dimension), precision):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()
