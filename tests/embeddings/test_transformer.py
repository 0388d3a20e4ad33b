"""How the encoder behaves around its model: loading, turns, cancellation, refusal, end."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from embeddings import EncodeFailed, ModelRefused, ModelUnavailable, ResolvedModel, Vectors, resolve
from embeddings.transformer import TransformerEncoder
from embeddings.windows import Window

ModelCopy: TypeAlias = Callable[..., Path]
OpenModel: TypeAlias = Callable[[Path], Awaitable[TransformerEncoder]]


async def test_concurrent_first_calls_load_the_model_once(encoder: TransformerEncoder) -> None:
    results = await asyncio.gather(*(encoder.encode([f"text {number % 2}"], "document") for number in range(8)))
    assert encoder.counters.loads == 1
    np.testing.assert_array_equal(results[0], results[2])


async def test_loading_prints_nothing(encoder: TransformerEncoder, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    assert logging.is_progress_bar_enabled()
    await encoder.encode(["x"], "query")
    assert capfd.readouterr() == ("", "")


class _Signal:
    """Tells the event loop that a batch has begun."""

    def __init__(self, encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = asyncio.Event()
        self.batches = 0
        loop, original = asyncio.get_running_loop(), encoder._pooled

        def pooled(batch: Sequence[Window]) -> Vectors:
            self.batches += 1
            loop.call_soon_threadsafe(self.begun.set)
            return original(batch)

        monkeypatch.setattr(encoder, "_pooled", pooled)


async def test_a_query_does_not_wait_for_all_of_what_is_being_indexed(
    encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch, source_text: str
) -> None:
    await encoder.encode(["x"], "query")
    signal = _Signal(encoder, monkeypatch)
    documents = asyncio.create_task(encoder.encode([source_text[:1500]] * 400, "document"))
    await signal.begun.wait()
    await encoder.encode(["query"], "query")
    assert not documents.done()
    documents.cancel()
    with pytest.raises(asyncio.CancelledError):
        await documents


async def test_a_query_comes_before_documents_of_every_call_that_waits(
    encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch, source_text: str
) -> None:
    await encoder.encode(["x"], "query")
    signal = _Signal(encoder, monkeypatch)
    documents = [
        asyncio.create_task(encoder.encode([f"{number} {source_text[:1500]}"] * 40, "document")) for number in range(4)
    ]
    await signal.begun.wait()
    before = signal.batches
    await encoder.encode(["query"], "query")
    # The batch in hand, perhaps the one that began before the query was handed over, and the query's own.
    assert signal.batches - before <= 3
    assert not any(each.done() for each in documents)
    for each in documents:
        each.cancel()
    await asyncio.gather(*documents, return_exceptions=True)


async def test_a_cancelled_call_stops_at_the_next_batch_and_the_encoder_goes_on(
    encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch, source_text: str
) -> None:
    await encoder.encode(["x"], "query")
    signal = _Signal(encoder, monkeypatch)
    documents = asyncio.create_task(encoder.encode([source_text[:1500]] * 400, "document"))
    await signal.begun.wait()
    documents.cancel()
    with pytest.raises(asyncio.CancelledError):
        await documents
    await encoder.encode(["y"], "query")
    assert signal.batches < 20


async def test_a_closed_encoder_says_so_and_may_be_closed_again(unixcoder: ResolvedModel) -> None:
    opened = TransformerEncoder(unixcoder, threads=1)
    await opened.aclose()
    await opened.aclose()
    with pytest.raises(EncodeFailed, match="is closed"):
        await opened.encode(["x"], "query")


async def test_closing_ends_a_call_under_way_at_the_next_batch(
    unixcoder: ResolvedModel, monkeypatch: pytest.MonkeyPatch, source_text: str
) -> None:
    opened = TransformerEncoder(unixcoder, threads=1)
    signal = _Signal(opened, monkeypatch)
    documents = asyncio.create_task(opened.encode([source_text[:1500]] * 400, "document"))
    await signal.begun.wait()
    await opened.aclose()
    with pytest.raises(EncodeFailed, match="is closed"):
        await documents


async def test_an_error_of_the_model_is_ours_and_the_encoder_goes_on(
    encoder: TransformerEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(batch: Sequence[Window]) -> Vectors:
        raise RuntimeError("not enough memory")

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "_pooled", fails)
        with pytest.raises(EncodeFailed, match="not enough memory"):
            await encoder.encode(["x"], "query")
    assert np.isfinite(await encoder.encode(["x"], "query")).all()


class _Planted:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.marker,)


def test_f089_weights_that_are_only_a_pickle_are_refused_unread(model_copy: ModelCopy, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    planted = pickle.dumps(_Planted(marker))
    directory = model_copy({"pytorch_model.bin": planted, "model.safetensors": None})
    with pytest.raises(ModelRefused, match=r"only as a pickle \('pytorch_model.bin'\)"):
        resolve(str(directory), allow_download=False)
    assert not marker.exists()
    pickle.loads(planted)  # noqa: S301 (the plant is live)
    assert marker.exists()


async def test_f089_a_pickle_beside_safetensors_is_not_read(
    model_copy: ModelCopy, open_model: OpenModel, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    directory = model_copy({"pytorch_model.bin": pickle.dumps(_Planted(marker))})
    assert np.isfinite(await (await open_model(directory)).encode(["x"], "query")).all()
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["roberta", "unheard-of"])
async def test_f089_code_that_comes_with_a_model_is_never_run(
    model_copy: ModelCopy, open_model: OpenModel, unixcoder_directory: Path, tmp_path: Path, kind: str
) -> None:
    marker = tmp_path / "ran"
    config = json.loads((unixcoder_directory / "config.json").read_text())
    config |= {"model_type": kind, "auto_map": {"AutoConfig": "planted.C", "AutoModel": "planted.M"}}
    code = f"import pathlib\npathlib.Path({str(marker)!r}).mkdir()\nclass C: pass\nclass M: pass\n"
    directory = model_copy({"config.json": config, "planted.py": code.encode()})
    if kind == "roberta":
        assert np.isfinite(await (await open_model(directory)).encode(["x"], "query")).all()
    else:
        with pytest.raises(ModelRefused, match="cannot be loaded"):
            await (await open_model(directory)).encode(["x"], "query")
    assert not marker.exists()


async def test_weights_that_changed_after_they_were_chosen_are_refused(
    model_copy: ModelCopy, open_model: OpenModel
) -> None:
    directory = model_copy()
    opened = await open_model(directory)
    weights = directory / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelRefused, match="have changed since"):
        await opened.encode(["x"], "query")


async def test_a_model_that_went_away_is_unavailable_and_back_when_it_is_back(
    model_copy: ModelCopy, open_model: OpenModel
) -> None:
    directory = model_copy()
    opened = await open_model(directory)
    away = directory.rename(directory.with_name("away"))
    with pytest.raises(ModelUnavailable, match=r"no config\.json"):
        await opened.encode(["x"], "query")
    away.rename(directory)
    assert np.isfinite(await opened.encode(["x"], "query")).all()


async def test_a_model_without_all_its_weights_is_refused(model_copy: ModelCopy, open_model: OpenModel) -> None:
    from safetensors.torch import load_file, save_file

    directory = model_copy()
    weights = load_file(directory / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelRefused, match=r"1 weights .* 'encoder.layer.1.output.dense.weight'"):
        await (await open_model(directory)).encode(["x"], "query")


@pytest.mark.parametrize(
    ("name", "content"),
    [("model.safetensors", b"no weights"), ("vocab.json", b"{"), ("tokenizer.json", b"[]")],
)
async def test_damaged_files_are_refused(
    model_copy: ModelCopy, open_model: OpenModel, name: str, content: bytes
) -> None:
    with pytest.raises(ModelRefused, match="cannot be loaded"):
        await (await open_model(model_copy({name: content}))).encode(["x"], "query")


async def test_weights_of_another_shape_are_refused(
    model_copy: ModelCopy, open_model: OpenModel, unixcoder_directory: Path
) -> None:
    config = json.loads((unixcoder_directory / "config.json").read_text())
    with pytest.raises(ModelRefused):
        await (await open_model(model_copy({"config.json": {**config, "intermediate_size": 63}}))).encode(
            ["x"], "query"
        )
