"""Packed weights compute the same, and are used where they can be."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from embeddings.packing import packed
from embeddings.transformer import TransformerEncoder

if TYPE_CHECKING:
    import torch


@pytest.fixture(autouse=True)
def _with_onednn() -> None:
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("torch comes without oneDNN here")


def _model(dtype: str = "float32") -> torch.nn.Module:
    import torch

    torch.manual_seed(3)
    layers = [torch.nn.Linear(24, 40), torch.nn.GELU(), torch.nn.Sequential(torch.nn.Linear(40, 8, bias=False))]
    return torch.nn.Sequential(*layers).to(getattr(torch, dtype)).eval()


def _linear(model: torch.nn.Module) -> list[torch.nn.Module]:
    import torch

    return [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]


@pytest.mark.parametrize("shape", [(24,), (1, 24), (3, 7, 24)])
def test_packed_weights_compute_the_same(shape: tuple[int, ...]) -> None:
    import torch

    model = _model()
    plain = copy.deepcopy(model)
    assert not _linear(packed(model, 1024))
    values = torch.randn(shape)
    with torch.inference_mode():
        torch.testing.assert_close(model(values), plain(values), atol=1e-6, rtol=1e-5)


def test_other_weights_than_those_of_float32_stay_as_they_are() -> None:
    assert len(_linear(packed(_model("bfloat16"), 1024))) == 2


def test_without_the_operators_a_model_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embeddings.packing._operators", lambda: None)
    assert len(_linear(packed(_model(), 1024))) == 2


async def test_an_encoder_on_the_cpu_packs_its_model(encoder: TransformerEncoder) -> None:
    await encoder.encode(["def f(): pass"], "query")
    assert encoder._loaded is not None
    assert not _linear(encoder._loaded.model)
