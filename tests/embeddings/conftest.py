"""Small models with random weights, in the files and through the code of the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from embeddings import ModelUnavailable, ResolvedModel, resolve
from embeddings.transformer import TransformerEncoder

if TYPE_CHECKING:
    from tokenizers import AddedToken

PACKAGES = Path(__file__).parents[2] / "src"

ModelCopy: TypeAlias = Callable[..., Path]
"""``copy(files)``: a new directory with the small model, some of its files written anew or (``None``) left out."""

OpenModel: TypeAlias = Callable[[Path], Awaitable[TransformerEncoder]]
"""``await open_model(directory)``: an encoder of the directory's model, closed after the test."""


@pytest.fixture(scope="session", autouse=True)
def _no_thread_of_progress_bars() -> None:
    """What tests themselves ask of transformers draws bars, and the first bar starts a thread that never ends."""
    importlib.import_module("tqdm").tqdm.monitor_interval = 0


@pytest.fixture(scope="session")
def source_text() -> str:
    """Python source: what the small vocabulary is trained on, and what is embedded."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGES.glob("storage/*.py")))


@pytest.fixture(scope="session")
def unixcoder_directory(tmp_path_factory: pytest.TempPathFactory, source_text: str) -> Path:
    """A RoBERTa of UniXcoder's kind, with the files that its repository has."""
    import torch
    from tokenizers.implementations.byte_level_bpe import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel

    directory = tmp_path_factory.mktemp("unixcoder")
    tokenizer = ByteLevelBPETokenizer()
    special: list[str | AddedToken] = ["<s>", "<pad>", "</s>", "<unk>", "<encoder-only>"]
    tokenizer.train_from_iterator(iter(source_text.splitlines(keepends=True)), vocab_size=800, special_tokens=special)
    tokenizer.save_model(str(directory))
    torch.manual_seed(20)
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=1026,
        initializer_range=0.3,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    RobertaModel(config).save_pretrained(directory)
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>"}
    described = {**names, "unk_token": "<unk>", "tokenizer_class": "RobertaTokenizer", "model_max_length": 1024}
    (directory / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
    return directory


@pytest.fixture
def model_copy(unixcoder_directory: Path, tmp_path: Path) -> ModelCopy:
    """See ``ModelCopy``."""
    made = 0

    def copy(files: dict[str, Any] | None = None) -> Path:
        nonlocal made
        made += 1
        directory = tmp_path / f"model-{made}"
        shutil.copytree(unixcoder_directory, directory)
        for name, content in (files or {}).items():
            path = directory / name
            path.parent.mkdir(exist_ok=True)
            if content is None:
                path.unlink()
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(json.dumps(content), encoding="utf-8")
        return directory

    return copy


@pytest.fixture(scope="session")
def unixcoder(unixcoder_directory: Path) -> ResolvedModel:
    return resolve(str(unixcoder_directory), allow_download=False)


@pytest.fixture(scope="session")
def minilm() -> ResolvedModel:
    try:
        return resolve("all-minilm-l6-v2", allow_download=False)
    except ModelUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
async def open_model() -> AsyncIterator[OpenModel]:
    """See ``OpenModel``."""
    async with contextlib.AsyncExitStack() as stack:

        async def opened(directory: Path) -> TransformerEncoder:
            resolved = await asyncio.to_thread(resolve, str(directory), allow_download=False)
            encoder = TransformerEncoder(resolved, threads=1)
            stack.push_async_callback(encoder.aclose)
            return encoder

        yield opened


@pytest.fixture
async def encoder(unixcoder: ResolvedModel) -> AsyncIterator[TransformerEncoder]:
    """An encoder of the small model that has not loaded it yet."""
    opened = TransformerEncoder(unixcoder, threads=1)
    yield opened
    await opened.aclose()


@pytest.fixture
def pieces(source_text: str) -> Callable[[int, int, int], list[str]]:
    """``pieces(count, shortest, longest)``: pieces of source of so many characters, in random order of length."""

    def cut(count: int, shortest: int, longest: int) -> list[str]:
        chance = random.Random(7)
        lengths = [shortest, longest, *(chance.randint(shortest, longest) for _ in range(count - 2))]
        chance.shuffle(lengths)
        starts = [chance.randrange(len(source_text) - length) for length in lengths]
        return [source_text[start : start + length] for start, length in zip(starts, lengths, strict=True)]

    return cut
