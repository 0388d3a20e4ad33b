"""Replicas with a transformer: equal vectors, cores of their own, and nothing from the network."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from embeddings import ModelUnavailable, ResolvedModel, resolve
from embeddings.opening import open_encoder
from embeddings.replicas import ReplicaEncoder
from embeddings.transformer import TransformerEncoder, chosen_device

CUT = """
import socket, sys
if "embeddings.replica_worker" in sys.orig_argv:
    tried = open({log!r}, "a", buffering=1)
    print("cut", file=tried)
    def refuse(*arguments, **named):
        print("call", arguments, file=tried)
        raise OSError("the network is cut")
    socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
    socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
"""


@pytest.fixture
def network_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cuts replicas off the network; a line ``cut`` for each, and one for each attempt to use it."""
    log = tmp_path / "network"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(CUT.format(log=str(log)), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    # As on a machine where nobody said that the hub is not to be asked.
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return log


async def test_replicas_of_a_transformer_equal_its_thread_without_the_network_on_cores_of_their_own(
    encoder: TransformerEncoder,
    unixcoder: ResolvedModel,
    pieces: Callable[[int, int, int], list[str]],
    network_log: Path,
) -> None:
    texts = ["", "größe ☃", *pieces(60, 1, 5000)]
    replicas = await asyncio.to_thread(open_encoder, unixcoder, threads=2, replicas=2, devices=("cpu",))
    assert isinstance(replicas, ReplicaEncoder)
    try:
        while not all(replica.is_ready for replica in replicas.replicas):
            await replicas.encode(["x"], "query")
        np.testing.assert_allclose(
            await replicas.encode(texts, "document"), await encoder.encode(texts, "document"), atol=1e-6
        )
        assert replicas.counters.loads == 2
        assert replicas.counters.tokens > encoder.counters.tokens
        if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1:
            first, second = (os.sched_getaffinity(replica.pid or 0) for replica in replicas.replicas)
            assert first | second == os.sched_getaffinity(0)
            assert not first & second
    finally:
        await replicas.aclose()
    assert replicas.spec.fingerprint == encoder.spec.fingerprint
    assert network_log.read_text(encoding="utf-8") == "cut\ncut\n"


async def test_f011_a_model_that_is_back_is_loaded_by_the_next_call(model_copy: Callable[..., Path]) -> None:
    directory = model_copy()
    model = await asyncio.to_thread(resolve, str(directory), allow_download=False)
    replicas = await asyncio.to_thread(open_encoder, model, threads=1, replicas=1, devices=("cpu",))
    away = directory.rename(directory.with_name("away"))
    try:
        with pytest.raises(ModelUnavailable, match=r"no config\.json"):
            await replicas.encode(["x"], "query")
        away.rename(directory)
        assert np.isfinite(await replicas.encode(["x"], "query")).all()
    finally:
        await replicas.aclose()


def test_the_device_is_the_one_named_or_what_the_machine_has_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_device("cuda:7", 3) == "cuda:7"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [chosen_device("auto", number) for number in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto", 3) == "cpu"
