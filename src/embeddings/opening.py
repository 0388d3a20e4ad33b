"""From a resolved model to its encoder."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from embeddings.checkout import read_checkout
from embeddings.encoder import Encoder, EncoderSpec
from embeddings.hashing import HashingEncoder
from embeddings.resolving import ResolvedModel

DEADLINE_SECONDS = 300.0
"""How long a replica may work on a piece of a call."""


def open_encoder(
    resolved: ResolvedModel,
    *,
    threads: int,
    replicas: int = 0,
    devices: Sequence[str] = (),
    deadline_seconds: float = DEADLINE_SECONDS,
    memory_available: int | None = None,
    directory: Path = Path("/"),
) -> Encoder:
    """Makes the encoder of a resolved model; call it from a thread, as it looks at the model's files.

    Cheap: torch and the weights are loaded, and processes started, by the first ``encode``. ``threads`` ≥ 1 are
    torch's on a CPU, all replicas together. ``devices`` are torch's names, used in turn; without any it is the CUDA
    devices or, where there are none, the CPU. With ``replicas`` = 0 the encoder is a thread of this process on the
    first device, which nothing can end if it hangs; else so many processes, which start in ``directory`` and are
    killed and replaced after ``deadline_seconds`` without an answer.

    Raises ``ReplicasRefused`` where ``memory_available`` bytes (``None``: not known) do not hold so many processes,
    and ``ModelUnavailable`` or ``ModelRefused`` where replicas are asked for and the files are not as they should be.
    """
    if replicas == 0:
        return _in_this_process(resolved, threads, devices)
    from embeddings.replica_plan import check_memory, plan_replicas  # noqa: PLC0415  (only where there are replicas)
    from embeddings.replicas import ReplicaEncoder  # noqa: PLC0415  (the same; numpy comes with it)

    spec = resolved.spec
    setups = plan_replicas(
        resolved.to_json(), replicas=replicas, devices=devices, threads=threads, cores=_allowed_cores()
    )
    weights = 0 if resolved.path is None else sum(path.stat().st_size for path in read_checkout(resolved.path).weights)
    if memory_available is not None:
        check_memory(spec.name, replicas=replicas, weights_bytes=weights, available=memory_available)
    seen = EncoderSpec(spec.name, resolved.fingerprint, spec.dimension, spec.window, max_in_flight=replicas)
    return ReplicaEncoder(seen, setups, directory=directory, deadline_seconds=deadline_seconds)


def _in_this_process(resolved: ResolvedModel, threads: int, devices: Sequence[str]) -> Encoder:
    if resolved.path is None:
        return HashingEncoder(resolved.spec.dimension, text_template=resolved.text_template)
    from embeddings.replica_plan import AUTO_DEVICE  # noqa: PLC0415  (msgspec comes with it)
    from embeddings.transformer import TransformerEncoder  # noqa: PLC0415  (only where there are weights)

    return TransformerEncoder(resolved, threads=threads, device=devices[0] if devices else AUTO_DEVICE)


def _allowed_cores() -> tuple[int, ...]:
    """The cores that this process may use; empty where the system does not bind processes to cores."""
    return tuple(sorted(os.sched_getaffinity(0))) if sys.platform == "linux" else ()
