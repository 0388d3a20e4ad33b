"""How many replicas the memory holds, and which device, cores and threads each of them gets: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from embeddings.errors import ReplicasRefused
from embeddings.replica_messages import ReplicaSetup

AUTO_DEVICE = "auto"
"""The CUDA device whose turn it is, or the CPU where there is none."""

_MIB = 1 << 20
_PROCESS_BYTES = 450 * _MIB
"""The interpreter with torch, its libraries and the activations of a batch: measured with all-MiniLM-L6-v2, of which a
replica has 490 to 535 MiB of its own, 86 of them weights."""


def bytes_needed(weights_bytes: int) -> int:
    """Memory that one replica takes: while they are read, a part of the weights is there twice."""
    return weights_bytes * 3 // 2 + _PROCESS_BYTES


def check_memory(model: str, *, replicas: int, weights_bytes: int, available: int) -> None:
    """Raises ``ReplicasRefused`` where ``available`` bytes do not hold so many replicas."""
    each = bytes_needed(weights_bytes)
    fitting = available // each
    if replicas > fitting:
        remedy = f"at most {fitting}" if fitting else "0, which keeps one encoder in this process,"
        raise ReplicasRefused(
            f"{replicas} replicas of {model!r} need {replicas * each // _MIB} MiB ({each // _MIB} MiB each), and "
            f"{available // _MIB} MiB are available; set embeddings.replicas to {remedy} or take a smaller model"
        )


def plan_replicas(
    model: str, *, replicas: int, devices: Sequence[str], threads: int, cores: Sequence[int]
) -> list[ReplicaSetup]:
    """One setup a replica: ``devices`` in turn (none: ``AUTO_DEVICE``), each core for one replica on a CPU.

    ``model`` is the resolved model as JSON; ``threads`` ≥ 1 are those of all replicas together, and ``cores`` the
    ones that this process may use. Raises ``ValueError`` for less than one replica or thread.
    """
    if replicas < 1 or threads < 1:
        raise ValueError(f"replicas is {replicas!r} and threads {threads!r}; both must be at least 1")
    turns = devices or (AUTO_DEVICE,)
    chosen = [turns[number % len(turns)] for number in range(replicas)]
    bound = [number for number, device in enumerate(chosen) if device.partition(":")[0] in {AUTO_DEVICE, "cpu"}]
    shares = dict(zip(bound, core_shares(cores, len(bound)), strict=True))
    most = -(-threads // replicas)
    return [
        ReplicaSetup(model, number, device, share, min(most, len(share)) if share else most)
        for number, device in enumerate(chosen)
        for share in (shares.get(number, ()),)
    ]


def core_shares(cores: Sequence[int], replicas: int) -> list[tuple[int, ...]]:
    """Divides cores among replicas, neighbours together, sizes at most one apart.

    Where there are fewer cores than replicas, each has one and some cores have several replicas.
    """
    if not cores:
        return [()] * replicas
    ordered = sorted(cores)
    if len(ordered) < replicas:
        return [(ordered[number % len(ordered)],) for number in range(replicas)]
    bounds = [number * len(ordered) // replicas for number in range(replicas + 1)]
    return [tuple(ordered[bounds[number] : bounds[number + 1]]) for number in range(replicas)]
