"""What has been done about the vectors of one collection since the start, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class VectorWork:
    """Counts that only grow, over all attempts to fill the collection; seconds of the owner's clock."""

    encode_seconds: float = 0.0
    """in the encoder; batches that it has at the same time count each"""
    encoded: int = 0
    """texts"""
    encode_retries: int = 0
    """calls that failed and were made again with half of their texts"""
    encode_errors: int = 0
    """texts without a usable vector"""
    handing_on_seconds: float = 0.0
    """that an encoded batch was held up because the store had not taken the one before it"""
    from_cache: int = 0
    """vectors that needed no encoding"""
    store_seconds: float = 0.0
    """in the vector store, waits for it left out"""
    stored: int = 0
    removed: int = 0
    store_wait_seconds: float = 0.0
    """between attempts at a store that did not answer"""
    store_retries: int = 0
    store_errors: int = 0
    """vectors that were given up"""
