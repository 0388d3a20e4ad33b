"""Our embedding against the definition, computed step by step from the weights with plain tensor operations."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers.implementations.byte_level_bpe import ByteLevelBPETokenizer

from embeddings import Vectors
from embeddings.transformer import TransformerEncoder
from embeddings.windows import pool_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

OpenModel: TypeAlias = Callable[[Path], Awaitable[TransformerEncoder]]
Pieces: TypeAlias = Callable[[int, int, int], list[str]]

HEADS = 4
CLS, PADDING, SEP, MODE = 0, 1, 2, 4


def hidden_states(directory: Path, ids: list[int]) -> torch.Tensor:
    """RoBERTa's last hidden states of one sequence, shape ``(len(ids), width)``, without any of its classes."""
    weights = load_file(directory / "model.safetensors")

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + 1e-12)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    positions = [PADDING + 1 + place for place in range(len(ids))]
    x = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][positions]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(x, "embeddings.LayerNorm")
    for layer in range(2):
        name = f"encoder.layer.{layer}"
        size = x.shape[1] // HEADS
        query, key, value = (linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            heads.append(torch.softmax(scores, dim=-1) @ value[:, part])
        x = norm(
            x + linear(torch.cat(heads, dim=1), f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        inner = linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return x


def tokens_of(directory: Path, text: str) -> list[int]:
    tokenizer = ByteLevelBPETokenizer.from_file(str(directory / "vocab.json"), str(directory / "merges.txt"))
    found: list[int] = tokenizer.encode(text).ids
    return found


def text_of(directory: Path, source_text: str, tokens: int) -> str:
    """The beginning of a text that has a few tokens more than ``tokens``."""
    ends = range(tokens, len(source_text), 20)
    return next(source_text[:end] for end in ends if len(tokens_of(directory, source_text[:end])) > tokens)


def defined(directory: Path, tokens: list[int]) -> NDArray[np.float32]:
    """``[CLS] <encoder-only> [SEP] tokens [SEP]``, the mean over all of them."""
    mean: NDArray[np.float32] = hidden_states(directory, [CLS, MODE, SEP, *tokens, SEP]).mean(dim=0).numpy()
    return mean


def unit(vector: Vectors) -> Vectors:
    scaled: Vectors = vector / np.linalg.norm(vector)
    return scaled


async def one_by_one(encoder: TransformerEncoder, texts: list[str]) -> Vectors:
    return np.concatenate([await encoder.encode([text], "document") for text in texts])


async def test_an_embedding_is_what_the_definition_says(
    encoder: TransformerEncoder, unixcoder_directory: Path, pieces: Pieces
) -> None:
    texts = ["x", "def f(a, b):\n    return a + b\n", "größe ☃ 名前", *pieces(4, 3, 900)]
    vectors = await encoder.encode(texts, "document")
    for text, vector in zip(texts, vectors, strict=True):
        tokens = tokens_of(unixcoder_directory, text)
        assert len(tokens) <= 508
        np.testing.assert_allclose(vector, unit(defined(unixcoder_directory, tokens)), atol=1e-5)


async def test_batched_equals_one_at_a_time_from_1_to_2000_tokens(
    encoder: TransformerEncoder, unixcoder_directory: Path, pieces: Pieces, source_text: str
) -> None:
    texts = ["x", *pieces(40, 1, 5000), text_of(unixcoder_directory, source_text, 1950)]
    vectors = await encoder.encode(texts, "document")
    assert encoder.counters.padded_tokens > 0
    np.testing.assert_allclose(vectors, await one_by_one(encoder, texts), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


async def test_f044_a_text_longer_than_the_window_is_pooled_over_windows_and_none_of_it_is_left_out(
    encoder: TransformerEncoder, unixcoder_directory: Path, source_text: str
) -> None:
    text = text_of(unixcoder_directory, source_text, 2 * 508 + 1)
    tokens = tokens_of(unixcoder_directory, text)
    assert 2 * 508 < len(tokens) <= 3 * 508
    (vector,) = await encoder.encode([text], "document")

    first, second = len(tokens) // 3, 2 * len(tokens) // 3
    windows = [tokens[:first], tokens[first:second], tokens[second:]]
    mean = sum(len(window) * defined(unixcoder_directory, window) for window in windows) / len(tokens)
    np.testing.assert_allclose(vector, unit(np.asarray(mean)), atol=1e-5)
    assert encoder.counters.windows == 3
    assert encoder.counters.tokens == len(tokens)
    assert encoder.counters.truncated_tokens == 0


async def test_f044_the_end_of_a_long_text_counts(encoder: TransformerEncoder, source_text: str) -> None:
    one, other = await encoder.encode([source_text[:6000] + " alpha", source_text[:6000] + " omega"], "document")
    assert not np.array_equal(one, other)


async def test_special_tokens_spelled_out_in_a_text_are_text(
    encoder: TransformerEncoder, unixcoder_directory: Path
) -> None:
    text = "print('<s>struck</s> <pad> <encoder-only>')"
    tokenizer = ByteLevelBPETokenizer.from_file(
        str(unixcoder_directory / "vocab.json"), str(unixcoder_directory / "merges.txt")
    )
    tokens = tokenizer.encode(text).ids
    assert not {CLS, PADDING, SEP, MODE} & set(tokens)
    (vector,) = await encoder.encode([text], "document")
    np.testing.assert_allclose(vector, unit(defined(unixcoder_directory, tokens)), atol=1e-5)


async def test_a_text_with_a_lone_surrogate_is_embedded_with_a_replacement(encoder: TransformerEncoder) -> None:
    odd, replaced = await encoder.encode(["a\ud800b", "a?b"], "query")
    np.testing.assert_allclose(odd, replaced, atol=1e-6)


async def test_an_empty_text_has_a_vector_and_no_texts_have_none(encoder: TransformerEncoder) -> None:
    assert (await encoder.encode([], "query")).shape == (0, 32)
    assert encoder.counters.loads == 0
    assert np.isfinite(await encoder.encode([""], "query")).all()


@pytest.mark.parametrize(("setting", "position"), [("pooling_mode_cls_token", 0), ("pooling_mode_lasttoken", -1)])
async def test_a_directory_of_sentence_transformers_is_pooled_as_it_says(
    model_copy: Callable[..., Path], open_model: OpenModel, pieces: Pieces, setting: str, position: int
) -> None:
    layers = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    layers += [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]
    directory = model_copy({"modules.json": layers, "1_Pooling/config.json": {setting: True}})
    opened = await open_model(directory)
    texts = pieces(6, 1, 600)
    vectors = await opened.encode(texts, "document")
    for text, vector in zip(texts, vectors, strict=True):
        states = hidden_states(directory, [CLS, *tokens_of(directory, text), SEP])
        np.testing.assert_allclose(vector, unit(states[position].numpy()), atol=1e-5)


async def test_prefixes_of_a_directory_are_put_before_each_window(
    model_copy: Callable[..., Path], open_model: OpenModel, source_text: str
) -> None:
    layers = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}}
    directory = model_copy(
        {
            "modules.json": layers,
            "config_sentence_transformers.json": prompts,
            "sentence_bert_config.json": {"max_seq_length": 128},
        }
    )
    opened = await open_model(directory)
    long = text_of(directory, source_text, 150)
    (query,) = await opened.encode(["find it"], "query")
    (document,) = await opened.encode([long], "document")

    def mean(tokens: list[int]) -> NDArray[np.float32]:
        states: NDArray[np.float32] = hidden_states(directory, [CLS, *tokens, SEP]).mean(dim=0).numpy()
        return states

    np.testing.assert_allclose(query, unit(mean(tokens_of(directory, "query: find it"))), atol=1e-5)
    head = tokens_of(directory, "passage:")
    body = tokens_of(directory, "passage: " + long)[len(head) :]
    assert 126 - len(head) < len(body) <= 2 * (126 - len(head))
    half = len(body) // 2
    parts = half * mean([*head, *body[:half]]) + (len(body) - half) * mean([*head, *body[half:]])
    np.testing.assert_allclose(document, unit(parts), atol=1e-5)


async def test_f039_a_vector_that_is_not_finite_is_a_row_of_nan_beside_good_ones(
    model_copy: Callable[..., Path], open_model: OpenModel
) -> None:
    from safetensors.torch import save_file

    directory = model_copy()
    weights = load_file(directory / "model.safetensors")
    (bad,) = set(tokens_of(directory, "~"))
    weights["embeddings.word_embeddings.weight"][bad] = torch.nan
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    opened = await open_model(directory)
    vectors = await opened.encode(["good", "~", "x" * 3000 + "~", "also good"], "document")
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, True, False]
    assert np.isfinite(vectors[[0, 3]]).all()


@pytest.mark.parametrize("entry", [np.nan, np.inf, -np.inf, 0.0])
def test_f039_zero_and_infinite_vectors_become_nan(entry: float) -> None:
    from embeddings.windows import Window

    pooled = np.array([[3.0, 4.0], [entry, 0.0]], dtype=np.float32)
    rows = pool_windows(pooled, [Window(0, (1,), 1), Window(1, (1,), 1)], 2)
    np.testing.assert_allclose(rows[0], [0.6, 0.8], atol=1e-6)
    assert np.isnan(rows[1]).all()
