"""From the files of a transformer to a model in memory: local files only, no pickle, no code that comes with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from embeddings.checkout import read_checkout, weights_hash
from embeddings.errors import ModelRefused, ModelUnavailable
from embeddings.resolving import ResolvedModel

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

Dtype: TypeAlias = Literal["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory with what is needed to feed it."""

    model: torch.nn.Module
    tokenizer: Tokenizer
    before: tuple[int, ...]
    """Ids that each window begins with."""
    after: tuple[int, ...]
    padding: int
    device: torch.device


def load_model(resolved: ResolvedModel, *, threads: int, dtype: Dtype) -> LoadedModel:
    """Reads model, onto the CPU, and tokenizer; raises ``ModelUnavailable`` or ``ModelRefused``, never anything else.

    ``threads`` of torch are those of the thread that this is called from.
    """
    spec, directory = resolved.spec, resolved.path
    if directory is None:
        raise ModelRefused(f"{spec.name!r} has no files, so it is no transformer")
    checkout = read_checkout(directory)
    if resolved.weights_sha256 is not None and weights_hash(checkout) != resolved.weights_sha256:
        raise ModelRefused(
            f"the weights in {str(directory)!r} have changed since {spec.name!r} was chosen; put the old ones back, or "
            "take the new ones with `codetrove model switch`",
        )
    with _refusing(spec.name, str(directory)):
        import torch  # noqa: PLC0415  (takes seconds)

        torch.set_num_threads(threads)
        tokenizer, padding = _read_tokenizer(str(directory))
        before, after = _special_ids(tokenizer)
        if spec.mode_token is not None:
            mode = tokenizer.token_to_id(spec.mode_token)
            if mode is None:
                raise ModelRefused(
                    f"{spec.mode_token!r} is not in the vocabulary of {str(directory)!r}; fetch it again"
                )
            before = (*before, mode, *after)
        model = _read_model(str(directory), dtype=getattr(torch, dtype), bidirectional=spec.mode_token is not None)
        return LoadedModel(model, tokenizer, before, after, padding, torch.device("cpu"))


def _read_tokenizer(directory: str) -> tuple[Tokenizer, int]:
    """The tokenizer, which leaves nothing out and adds nothing, and the id that pads."""
    from transformers import AutoTokenizer  # noqa: PLC0415  (takes seconds)

    wrapped = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    tokenizer: Tokenizer = wrapped.backend_tokenizer
    # all-MiniLM-L6-v2 comes with a tokenizer that cuts, and pads, every text to 128 tokens.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # Source text that spells "<s>" or "[SEP]" means these characters.
    tokenizer.encode_special_tokens = True
    padding = wrapped.pad_token_id
    return tokenizer, 0 if padding is None else int(padding)


def _special_ids(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The ids that the tokenizer puts before and after a text."""
    encoding = tokenizer.encode("a", add_special_tokens=True)
    own = [position for position, special in enumerate(encoding.special_tokens_mask) if not special]
    return tuple(encoding.ids[: own[0]]), tuple(encoding.ids[own[-1] + 1 :])


def _read_model(directory: str, *, dtype: torch.dtype, bidirectional: bool) -> torch.nn.Module:
    """The model without its heads, every weight found by name and shape."""
    from transformers import AutoConfig, AutoModel  # noqa: PLC0415  (takes seconds)

    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(directory, **local)
    if bidirectional:
        # A decoder's configuration would let each position see only what is before it.
        config.is_decoder = False
    with _quiet():
        model, found = AutoModel.from_pretrained(
            directory,
            config=config,
            use_safetensors=True,
            dtype=dtype,
            output_loading_info=True,
            **local,
        )
    # The pooler is a head that no vector here goes through.
    missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
    if missing or found["mismatched_keys"]:
        wrong = missing or sorted(str(key) for key in found["mismatched_keys"])
        raise ModelRefused(f"{len(wrong)} weights of {directory!r} are missing or of another shape, as {wrong[0]!r}")
    loaded: torch.nn.Module = model.eval()
    return loaded


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps transformers from drawing a progress bar and reporting unused heads while a model is loaded."""
    from transformers.utils import logging as reports  # noqa: PLC0415  (takes seconds)

    verbosity, bar = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity(logging.ERROR)
    reports.disable_progress_bar()
    try:
        yield
    finally:
        reports.set_verbosity(verbosity)
        if bar:
            reports.enable_progress_bar()


@contextmanager
def _refusing(name: str, directory: str) -> Iterator[None]:
    """Translates what the libraries raise over files that they cannot use."""
    try:
        yield
    except ModelRefused:
        raise
    except ImportError as error:
        raise ModelUnavailable(
            f"{name!r} needs torch and transformers ({error}); install codetrove with them"
        ) from error
    except Exception as error:
        # tokenizers raises bare Exception, and safetensors an error of its own that descends from nothing else.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelRefused(f"the model in {directory!r} cannot be loaded ({reason}); fetch it again") from error
