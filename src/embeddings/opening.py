"""From a resolved model to its encoder."""

from __future__ import annotations

from embeddings.encoder import Encoder
from embeddings.hashing import HashingEncoder
from embeddings.resolving import ResolvedModel


def open_encoder(resolved: ResolvedModel, *, threads: int, device: str = "cpu") -> Encoder:
    """Makes the encoder of a resolved model.

    Cheap: torch and the weights are loaded by the first ``encode``. ``threads`` ≥ 1 are torch's on a CPU.
    """
    if resolved.path is None:
        return HashingEncoder(resolved.spec.dimension, text_template=resolved.text_template)
    from embeddings.transformer import TransformerEncoder  # noqa: PLC0415  (only where there are weights)

    return TransformerEncoder(resolved, threads=threads, device=device)
