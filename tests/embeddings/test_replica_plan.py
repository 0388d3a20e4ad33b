from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embeddings import ReplicasRefused, open_encoder, resolve
from embeddings.replica_plan import bytes_needed, check_memory, core_shares, plan_replicas

MIB = 1 << 20


@settings(max_examples=60)
@given(st.sets(st.integers(0, 200), min_size=1, max_size=40), st.integers(1, 50))
def test_cores_are_divided_evenly_and_none_is_left_out(cores: set[int], replicas: int) -> None:
    shares = core_shares(sorted(cores), replicas)
    assert len(shares) == replicas
    assert {core for share in shares for core in share} == (cores if replicas <= len(cores) else set(sum(shares, ())))
    sizes = [len(share) for share in shares]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    if replicas <= len(cores):
        assert sum(sizes) == len(cores)


def test_devices_take_turns_and_only_replicas_on_a_cpu_share_the_cores() -> None:
    plan = plan_replicas("{}", replicas=5, devices=("cuda:0", "cpu", "cuda:1"), threads=8, cores=range(8))
    assert [setup.device for setup in plan] == ["cuda:0", "cpu", "cuda:1", "cuda:0", "cpu"]
    assert [setup.cores for setup in plan] == [(), (0, 1, 2, 3), (), (), (4, 5, 6, 7)]
    assert [setup.number for setup in plan] == [0, 1, 2, 3, 4]
    assert [setup.threads for setup in plan] == [2] * 5


@pytest.mark.parametrize(
    ("replicas", "threads", "cores", "expected"),
    [(2, 8, 8, [4, 4]), (2, 5, 5, [2, 3]), (2, 2, 8, [1, 1]), (3, 2, 2, [1, 1, 1]), (2, 6, 0, [3, 3])],
)
def test_threads_are_as_many_as_the_cores_of_a_share_and_not_more_than_asked_for(
    replicas: int, threads: int, cores: int, expected: list[int]
) -> None:
    plan = plan_replicas("{}", replicas=replicas, devices=(), threads=threads, cores=range(cores))
    assert [setup.threads for setup in plan] == expected
    assert {setup.device for setup in plan} == {"auto"}


def test_no_replica_cannot_be_planned() -> None:
    with pytest.raises(ValueError, match="replicas is 0"):
        plan_replicas("{}", replicas=0, devices=(), threads=1, cores=())


@settings(max_examples=60)
@given(st.integers(1, 64), st.integers(0, 1 << 40), st.integers(0, 1 << 45))
def test_replicas_are_refused_exactly_when_they_do_not_fit(replicas: int, weights: int, available: int) -> None:
    try:
        check_memory("m", replicas=replicas, weights_bytes=weights, available=available)
    except ReplicasRefused:
        assert replicas * bytes_needed(weights) > available
    else:
        assert replicas * bytes_needed(weights) <= available


def test_the_refusal_names_what_is_needed_what_there_is_and_the_most_that_fit() -> None:
    with pytest.raises(ReplicasRefused) as refused:
        check_memory("m", replicas=3, weights_bytes=400 * MIB, available=2200 * MIB)
    assert str(refused.value) == (
        "3 replicas of 'm' need 3150 MiB (1050 MiB each), and 2200 MiB are available; set embeddings.replicas to at "
        "most 2 or take a smaller model"
    )
    with pytest.raises(ReplicasRefused, match="to 0, which keeps one encoder in this process"):
        check_memory("m", replicas=1, weights_bytes=400 * MIB, available=100 * MIB)


def test_opening_refuses_replicas_by_the_size_of_the_weights(unixcoder_directory: Path) -> None:
    model = resolve(str(unixcoder_directory), allow_download=False)
    needed = bytes_needed((unixcoder_directory / "model.safetensors").stat().st_size)
    open_encoder(model, threads=1, replicas=2, memory_available=2 * needed)
    with pytest.raises(ReplicasRefused, match=r"2 replicas of .* need"):
        open_encoder(model, threads=1, replicas=2, memory_available=2 * needed - 1)
    # One in this process is not measured: without it there would be no vectors at all.
    open_encoder(model, threads=1, memory_available=0)


def test_a_deadline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="deadline_seconds is 0"):
        open_encoder(resolve("hashing-8", allow_download=False), threads=1, replicas=1, deadline_seconds=0)
