"""A transformer on this machine: the only module that imports torch and transformers, and only when it encodes.

The model is loaded from a local directory: no network, no pickle, no code that comes with it. It lives on one thread of
its own. Each batch is a job of that thread, so calls take turns batch by batch, and a query waits for the batches in
hand but not for the whole of what is being indexed.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeAlias, TypeVar

import numpy as np

from embeddings.checkout import read_checkout, weights_hash
from embeddings.encoder import EncoderSpec, TextKind, Vectors
from embeddings.errors import EncodeFailed, ModelRefused, ModelUnavailable
from embeddings.resolving import ResolvedModel
from embeddings.specs import Pooling
from embeddings.windows import Window, cut_windows, plan_batches, pool_windows

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

P = ParamSpec("P")
T = TypeVar("T")

Dtype: TypeAlias = Literal["float32", "bfloat16"]

BATCH_TOKENS = 1024
"""Padded tokens in a batch: on a CPU as fast as four times as many, in less memory, and a query waits less."""

_MAX_IN_FLIGHT = 2


@dataclass(slots=True)
class EncoderCounters:
    """What an encoder has done since it was made."""

    loads: int = 0
    texts: int = 0
    tokens: int = 0
    """Of the texts themselves, without special tokens and prefixes."""
    windows: int = 0
    padded_tokens: int = 0
    """Positions that the model computed, padding included."""
    truncated_tokens: int = 0
    """Tokens of texts that no window held: always 0."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model in memory with what is needed to feed it."""

    model: torch.nn.Module
    tokenizer: Tokenizer
    before: tuple[int, ...]
    """Ids that each window begins with."""
    after: tuple[int, ...]
    padding: int
    device: torch.device


class TransformerEncoder:
    """Implements ``Encoder`` with a model of a local directory."""

    def __init__(
        self,
        resolved: ResolvedModel,
        *,
        threads: int,
        dtype: Dtype = "float32",
        batch_tokens: int = BATCH_TOKENS,
        device: str = "cpu",
    ) -> None:
        """Make an encoder; nothing is loaded before the first call of ``encode``.

        ``threads`` ≥ 1 are torch's threads on a CPU; ``device`` is torch's name of a device.
        """
        if threads < 1 or batch_tokens < 1:
            raise ValueError(f"threads is {threads!r} and batch_tokens {batch_tokens!r}; both must be at least 1")
        spec = resolved.spec
        self._resolved = resolved
        self._spec = EncoderSpec(
            model=spec.name,
            fingerprint=resolved.fingerprint,
            dimension=spec.dimension,
            window=spec.window,
            max_in_flight=_MAX_IN_FLIGHT,
        )
        self._threads, self._dtype, self._batch_tokens, self._device = threads, dtype, batch_tokens, device
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._loaded: _Loaded | None = None
        self._closed = False
        self.counters = EncoderCounters()

    @property
    def spec(self) -> EncoderSpec:
        """What this encoder is."""
        return self._spec

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """As ``Encoder.encode``; the first call loads the model, later ones at the same time wait for it."""
        if self._closed:
            raise self._is_closed()
        if not texts:
            return np.zeros((0, self._spec.dimension), dtype=np.float32)
        windows = await self._on_thread(self._windows_of, tuple(texts), kind)
        pooled = np.empty((len(windows), self._spec.dimension), dtype=np.float32)
        for batch in plan_batches([len(window.ids) for window in windows], self._batch_tokens):
            pooled[batch] = await self._on_thread(self._pooled, [windows[position] for position in batch])
        return pool_windows(pooled, windows, len(texts))

    async def aclose(self) -> None:
        """Ends the thread after the batch in hand and lets the model go."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown, wait=True)
        self._loaded = None

    async def _on_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        job = functools.partial(function, *args, **kwargs)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, job)
        except (RuntimeError, IndexError, ValueError) as error:  # torch's, of memory too; a shut-down executor's
            if self._closed:
                raise self._is_closed() from error
            raise EncodeFailed(
                f"{self._spec.model!r} could not encode: {error}; the texts can be sent again"
            ) from error

    def _is_closed(self) -> EncodeFailed:
        return EncodeFailed(f"the encoder of {self._spec.model!r} is closed; open a new one")

    def _windows_of(self, texts: Sequence[str], kind: TextKind) -> list[Window]:
        """Loads the model if need be and cuts texts into windows of token ids; on the encoder's thread."""
        if self._loaded is None:
            self._loaded = _load(self._resolved, threads=self._threads, dtype=self._dtype, device=self._device)
            self.counters.loads += 1
        spec, loaded = self._resolved.spec, self._loaded
        prefix = spec.query_prefix if kind == "query" else spec.document_prefix
        windows = []
        for number, text in enumerate(texts):
            head, body = _token_ids(loaded.tokenizer, prefix, text)
            cut = cut_windows(number, body, loaded.before + head, loaded.after, spec.window)
            windows += cut
            self.counters.tokens += len(body)
            self.counters.truncated_tokens += len(body) - sum(window.own_tokens for window in cut)
        self.counters.texts += len(texts)
        self.counters.windows += len(windows)
        return windows

    def _pooled(self, batch: Sequence[Window]) -> Vectors:
        """One vector a window, of any length; on the encoder's thread."""
        import torch  # noqa: PLC0415  (takes seconds)

        if self._loaded is None:
            raise self._is_closed()
        loaded = self._loaded
        lengths = torch.tensor([len(window.ids) for window in batch])
        longest = int(lengths.max())
        ids = torch.full((len(batch), longest), loaded.padding)
        for row, window in enumerate(batch):
            ids[row, : len(window.ids)] = torch.tensor(window.ids)
        self.counters.padded_tokens += ids.numel()
        mask = torch.arange(longest)[None, :] < lengths[:, None]
        with torch.inference_mode():
            ids, mask = ids.to(loaded.device), mask.to(loaded.device)
            hidden = loaded.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state.float()
            pooled: Vectors = _pool(hidden, mask, self._resolved.spec.pooling).cpu().numpy()
        return pooled


def _pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """From ``(batch, length, dimension)`` and a mask that is true for tokens to ``(batch, dimension)``."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        rows = mask.new_ones(len(mask)).nonzero().squeeze(1)
        return hidden[rows, mask.sum(dim=1) - 1]
    # Not a product with the mask: NaN times zero is NaN, and a padded position may be anything.
    kept = hidden.masked_fill(~mask[:, :, None], 0.0)
    return kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)


def _token_ids(tokenizer: Tokenizer, prefix: str, text: str) -> tuple[tuple[int, ...], list[int]]:
    """The ids of the prefix and those of the text, tokenized as one, as models with prefixes were trained."""
    # A lone surrogate cannot be handed to the tokenizer.
    whole = (prefix + text).encode("utf-8", "replace").decode("utf-8")
    encoding = tokenizer.encode(whole, add_special_tokens=False)
    if not prefix:
        return (), encoding.ids
    ends = len(prefix.rstrip())
    head = sum(1 for start, end in encoding.offsets if end <= ends and start < ends)
    return tuple(encoding.ids[:head]), encoding.ids[head:]


def _load(resolved: ResolvedModel, *, threads: int, dtype: Dtype, device: str) -> _Loaded:
    """Reads model and tokenizer; raises ``ModelUnavailable`` or ``ModelRefused``, never anything else."""
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
        return _Loaded(model.to(device), tokenizer, before, after, padding, torch.device(device))


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
