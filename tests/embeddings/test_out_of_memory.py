"""A model that does not fit in memory: smaller batches, then the CPU, then no vector, and a warning of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from embeddings import EncodeFailed, ModelRefused, ResolvedModel
from embeddings.out_of_memory import halve_until_it_fits, is_out_of_memory
from embeddings.transformer import TransformerEncoder

NONE = 10**9


class SmallDevice(torch.nn.Module):
    """The model on a device that holds ``most`` rows at a time, beside a CPU that holds ``most_on_cpu``."""

    def __init__(self, model: torch.nn.Module, most: int, most_on_cpu: int = NONE, most_weights: int = NONE) -> None:
        super().__init__()
        self.inner, self.most, self.most_on_cpu, self.most_weights = model, most, most_on_cpu, most_weights
        self.place = "cpu:0"
        self.moves: list[str] = []
        self.batches: list[int] = []

    def to(self, device: Any) -> SmallDevice:  # type: ignore[override]  # the one way that the encoder calls it
        if str(device) != "cpu":
            if self.most_weights == 0:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate the weights")
            self.most_weights -= 1
        self.place = str(device)
        self.moves.append(self.place)
        return self

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        rows = len(input_ids)
        if rows > (self.most_on_cpu if self.place == "cpu" else self.most):
            if self.place == "cpu":
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
            raise torch.cuda.OutOfMemoryError(f"CUDA out of memory. {rows} rows do not fit")
        self.batches.append(rows)
        return self.inner(input_ids=input_ids, attention_mask=attention_mask)


async def on_small_device(encoder: TransformerEncoder, most: int, **limits: int) -> SmallDevice:
    """Load the model and put it on a small device; torch takes ``cpu:0`` for another device than ``cpu``."""
    await encoder.encode(["x"], "query")
    loaded = encoder._loaded
    assert loaded is not None
    device = SmallDevice(loaded.model, most, **limits)
    encoder._loaded = replace(loaded, model=device, device=torch.device("cpu:0"))
    return device


@pytest.fixture
def texts(pieces: Callable[[int, int, int], list[str]]) -> list[str]:
    return pieces(40, 10, 300)


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_f013_a_batch_that_does_not_fit_is_halved_until_it_does_and_announced_once(
    encoder: TransformerEncoder, texts: list[str], most: int
) -> None:
    expected = await encoder.encode(texts, "document")
    device = await on_small_device(encoder, most)
    with capture_logs() as logs:
        vectors = await encoder.encode(texts, "document")
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert max(device.batches) <= most
    assert sum(device.batches) == len(texts)
    assert encoder.counters.halvings > 1
    assert [line["event"] for line in logs] == ["encoder.batch_halved"]
    assert device.moves == []


async def test_f013_what_does_not_fit_alone_is_computed_on_the_cpu_and_the_model_goes_back(
    encoder: TransformerEncoder, texts: list[str]
) -> None:
    expected = await encoder.encode(texts, "document")
    device = await on_small_device(encoder, 0)
    with capture_logs() as logs:
        np.testing.assert_allclose(await encoder.encode(texts, "document"), expected, atol=1e-6)
    assert encoder.counters.cpu_windows == len(texts)
    assert device.moves == ["cpu", "cpu:0"] * len(texts)
    assert [line["event"] for line in logs] == ["encoder.batch_halved", "encoder.on_cpu"]
    device.most = NONE
    await encoder.encode(texts, "document")
    assert encoder.counters.cpu_windows == len(texts)


async def test_f013_what_fits_nowhere_has_no_vector_and_each_is_announced(encoder: TransformerEncoder) -> None:
    device = await on_small_device(encoder, 0, most_on_cpu=0)
    with capture_logs() as logs:
        vectors = await encoder.encode(["one", "two"], "document")
    assert np.isnan(vectors).all()
    assert encoder.counters.refused_windows == 2
    assert [line["event"] for line in logs].count("encoder.window_refused") == 2
    device.most = NONE
    assert np.isfinite(await encoder.encode(["one"], "document")).all()


async def test_f013_a_model_that_does_not_get_back_on_its_device_stays_on_the_cpu(
    encoder: TransformerEncoder, texts: list[str]
) -> None:
    expected = await encoder.encode(texts, "document")
    device = await on_small_device(encoder, 0, most_weights=0)
    with capture_logs() as logs:
        np.testing.assert_allclose(await encoder.encode(texts, "document"), expected, atol=1e-6)
    assert encoder.counters.cpu_windows == 1
    assert device.place == "cpu"
    assert [line["event"] for line in logs][-1] == "encoder.stays_on_cpu"


async def test_f013_on_a_cpu_without_memory_a_batch_is_halved_and_a_single_text_has_no_vector(
    encoder: TransformerEncoder,
) -> None:
    device = await on_small_device(encoder, 0, most_on_cpu=0)
    assert encoder._loaded is not None
    device.place = "cpu"
    encoder._loaded = replace(encoder._loaded, device=torch.device("cpu"))
    assert np.isnan(await encoder.encode(["one", "two"], "document")).all()
    assert device.moves == []


async def test_another_error_of_the_device_is_not_taken_for_want_of_memory(
    encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = await on_small_device(encoder, NONE)

    def broken(**_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(device, "forward", broken)
    with pytest.raises(EncodeFailed, match="illegal memory access"):
        await encoder.encode(["x"], "query")
    assert encoder.counters.halvings == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.cuda.OutOfMemoryError("x"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_known_by_class_or_wording(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@settings(max_examples=60)
@given(st.lists(st.integers(), min_size=1, max_size=40), st.integers(0, 8))
def test_halving_keeps_the_order_and_computes_each_item_once(items: list[int], most: int) -> None:
    halved: list[int] = []

    def compute(part: Sequence[int]) -> list[int]:
        if len(part) > most:
            raise torch.cuda.OutOfMemoryError("no")
        return list(part)

    parts = halve_until_it_fits(items, compute, alone=lambda item: [item], on_halving=halved.append)
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) <= max(1, most)
    assert bool(halved) == (len(items) > max(1, most))


async def test_a_device_that_is_not_there_is_refused_with_what_to_set(unixcoder: ResolvedModel) -> None:
    encoder = TransformerEncoder(unixcoder, threads=1, device="gpu:9")
    with pytest.raises(ModelRefused, match=r"the device 'gpu:9' cannot be used .* set embeddings\.devices"):
        await encoder.encode(["x"], "query")
    await encoder.aclose()
