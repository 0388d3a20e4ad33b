"""A model's directory: which files it is made of, their hashes, and what its configuration says.

Nothing here imports torch or runs anything that lies in the directory.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embeddings.errors import ModelRefused, ModelUnavailable
from embeddings.specs import MODE_TOKEN, ModelSpec, Pooling, model_named

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_TOKENIZER_FILES = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_POOLING_FLAGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
}
_POOLING_NAMES: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_LONGEST_WINDOW = 8192


@dataclass(frozen=True, slots=True)
class Checkout:
    """The files of a model that are read, each of them there."""

    directory: Path
    weights: tuple[Path, ...]
    tokenizer: tuple[Path, ...]
    config: Path


def read_checkout(directory: Path) -> Checkout:
    """Finds the files of a model in ``directory``.

    Raises ``ModelUnavailable`` where some are missing, ``ModelRefused`` where the weights are only there as a pickle,
    which runs code when it is loaded, or where the model is more than its weights.
    """
    config = directory / "config.json"
    if not config.is_file():
        raise ModelUnavailable(f"there is no model in {str(directory)!r}: it has no config.json; fetch the model again")
    if (directory / "adapter_config.json").exists():
        raise ModelRefused(f"{str(directory)!r} is an adapter to another model; merge the two and save the result")
    weights = tuple(sorted(directory.glob("model*.safetensors")))
    if not weights:
        pickles = sorted(path.name for pattern in _PICKLES for path in directory.glob(pattern))
        if pickles:
            raise ModelRefused(
                f"{str(directory)!r} has its weights only as a pickle ({pickles[0]!r}), which can run any code when it "
                "is loaded; take a revision with model.safetensors, or convert it on a machine that you can lose",
            )
        raise ModelUnavailable(f"{str(directory)!r} has no model.safetensors; fetch the model again")
    tokenizer = tuple(path for name in _TOKENIZER_FILES if (path := directory / name).is_file())
    names = {path.name for path in tokenizer}
    if not ("tokenizer.json" in names or "vocab.txt" in names or {"vocab.json", "merges.txt"} <= names):
        raise ModelUnavailable(f"{str(directory)!r} has no tokenizer.json and no vocabulary; fetch the model again")
    return Checkout(directory, weights, tokenizer, config)


def describe(checkout: Checkout) -> ModelSpec:
    """Reads from a local directory how its model is to be used.

    A directory that sentence-transformers wrote says so itself (``modules.json`` and what it names); one whose
    vocabulary has UniXcoder's mode token is used as UniXcoder; any other is pooled by the mean.
    """
    directory = checkout.directory
    config = _json_object(checkout.config)
    dimension = hidden_size(config)
    if dimension < 1:
        raise ModelRefused(f"{str(checkout.config)!r} names no hidden_size; it must be a number from 1 up")
    window = min(position_limit(config), _LONGEST_WINDOW)
    spec = ModelSpec(str(directory), "directory", str(directory), dimension=dimension, window=window)
    modules = directory / "modules.json"
    if modules.is_file():
        return _sentence_transformer(spec, directory, modules)
    if _knows_mode_token(checkout):
        unixcoder = model_named("unixcoder-base")
        return replace(spec, mode_token=unixcoder.mode_token, window=min(window, unixcoder.window))
    return spec


def hidden_size(config: dict[str, Any]) -> int:
    """Dimensions of the hidden states of the model described by ``config.json``; 0 where it does not say."""
    found = config.get("hidden_size", config.get("dim"))
    return found if isinstance(found, int) else 0


def position_limit(config: dict[str, Any]) -> int:
    """Tokens that the position table of the model described by ``config.json`` has room for.

    RoBERTa counts positions from one past its padding id on, so that many entries of its table are never used.
    """
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return _LONGEST_WINDOW
    if config.get("model_type") in {"roberta", "xlm-roberta", "camembert"}:
        padding = config.get("pad_token_id")
        return positions - (padding if isinstance(padding, int) else 1) - 1
    return positions


def weights_hash(checkout: Checkout) -> str:
    """SHA-256 of the weights, read as a stream: of the one file, or of the hashes and names of its parts."""
    if len(checkout.weights) == 1:
        return _sha256(checkout.weights[0])
    return _hash_of_files(checkout.weights)


def tokenizer_hash(checkout: Checkout) -> str:
    """SHA-256 over everything that decides which ids a text has."""
    return _hash_of_files(checkout.tokenizer)


def config_hash(checkout: Checkout) -> str:
    """SHA-256 of ``config.json``: the same weights under another configuration are another model."""
    return _sha256(checkout.config)


def _sentence_transformer(spec: ModelSpec, directory: Path, modules: Path) -> ModelSpec:
    """What the files say that sentence-transformers writes beside a model."""
    listed = json.loads(modules.read_text(encoding="utf-8"))
    kinds = {str(module["type"]).rsplit(".", 1)[-1]: directory / str(module["path"]) for module in listed}
    if unknown := sorted(kinds.keys() - {"Transformer", "Pooling", "Normalize"}):
        raise ModelRefused(f"{str(directory)!r} has a layer {unknown[0]!r} after the transformer, which is not applied")
    if kinds.get("Transformer") != directory:
        raise ModelRefused(
            f"the transformer lies in a folder of {str(directory)!r}; move its files up beside modules.json"
        )
    if "Pooling" in kinds:
        spec = replace(spec, pooling=_pooling_of(kinds["Pooling"] / "config.json"))
    limits = directory / "sentence_bert_config.json"
    if limits.is_file():
        found = _json_object(limits)
        if found.get("do_lower_case"):
            raise ModelRefused(
                f"do_lower_case is set in {str(limits)!r}; let the tokenizer do that, and unset it there"
            )
        if isinstance(found.get("max_seq_length"), int):
            spec = replace(spec, window=min(spec.window, found["max_seq_length"]))
    settings = directory / "config_sentence_transformers.json"
    prompts = _json_object(settings).get("prompts") if settings.is_file() else None
    if isinstance(prompts, dict):
        document = prompts.get("document", prompts.get("passage", ""))
        spec = replace(spec, query_prefix=str(prompts.get("query", "")), document_prefix=str(document))
    return spec


def _pooling_of(path: Path) -> Pooling:
    config = _json_object(path)
    if "pooling_mode" in config:
        asked = [str(config["pooling_mode"])]
        known = [_POOLING_NAMES[name] for name in asked if name in _POOLING_NAMES]
    else:
        asked = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
        known = [_POOLING_FLAGS[name] for name in asked if name in _POOLING_FLAGS]
    if len(asked) != 1 or len(known) != 1:
        raise ModelRefused(f"pooling {asked!r} in {str(path)!r} is not known; known is one of mean, cls, lasttoken")
    return known[0]


def _knows_mode_token(checkout: Checkout) -> bool:
    """Whether the vocabulary has UniXcoder's mode token, looked for as the JSON string that it is there."""
    wanted = json.dumps(MODE_TOKEN).encode()
    return any(
        wanted in path.read_bytes() for path in checkout.tokenizer if path.name in {"tokenizer.json", "vocab.json"}
    )


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelRefused(f"{str(path)!r} cannot be read: {error}; fetch the model again") from error
    if not isinstance(found, dict):
        raise ModelRefused(f"{str(path)!r} holds no JSON object; fetch the model again")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of_files(paths: tuple[Path, ...]) -> str:
    listing = [(path.name, _sha256(path)) for path in paths]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
