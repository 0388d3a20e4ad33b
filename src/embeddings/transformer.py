"""A transformer on this machine. Beside ``loading`` and ``packing`` nothing else imports torch, and only to encode.

The model lives on one thread of its own. Each batch is a job of that thread, so calls take turns batch by batch, and
queries come before documents: one waits for the batch in hand and for no other. A batch that does not fit in memory is
halved, down to one window that is computed on the CPU; what does not fit there either gets no vector, and all of it is
announced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
import structlog

from embeddings.counters import EncoderCounters
from embeddings.encoder import EncoderSpec, TextKind, Vectors
from embeddings.errors import EncodeFailed, ModelRefused
from embeddings.loading import Dtype, LoadedModel, load_model
from embeddings.out_of_memory import halve_until_it_fits, if_it_fits
from embeddings.packing import packed
from embeddings.replica_plan import AUTO_DEVICE
from embeddings.resolving import ResolvedModel
from embeddings.specs import Pooling
from embeddings.turns import TurnThread
from embeddings.windows import Window, cut_windows, plan_batches, pool_windows

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

T = TypeVar("T")

BATCH_TOKENS = 1024
"""Padded tokens in a batch: on a CPU as fast as four times as many, in less memory, and a query waits less."""

TOKENIZED_CHARACTERS = 32_768
"""Characters of documents that are cut into tokens in one go, which takes about as long as a batch."""

TOKENS_OF_ONE_THREAD = 128
"""A query of so many tokens is computed by one thread."""

_MAX_IN_FLIGHT = 2
_CPU = "cpu"

log = structlog.get_logger(__name__)


class Announce(Protocol):
    """Where warnings go: the name of an event and its values."""

    def __call__(self, event: str, **values: str | float) -> None:
        """Tell whoever reads the log."""


def _warn(event: str, **values: str | float) -> None:
    log.warning(event, **values)


class TransformerEncoder:
    """Implements ``Encoder`` with a model of a local directory, on a thread of this process.

    A thread cannot be ended from outside: where a device or a library hangs, ``encode`` and ``aclose`` wait for it,
    however long. Only ``ReplicaEncoder``, whose processes are watched and can be killed, ends such a call.
    """

    def __init__(
        self,
        resolved: ResolvedModel,
        *,
        threads: int,
        dtype: Dtype = "float32",
        batch_tokens: int = BATCH_TOKENS,
        device: str = _CPU,
        announce: Announce = _warn,
    ) -> None:
        """Make an encoder; nothing is loaded before the first call of ``encode``.

        ``threads`` ≥ 1 are torch's threads on a CPU; ``device`` is torch's name of a device, or ``auto`` for the first
        CUDA device or else the CPU. ``announce`` is called from the encoder's thread.
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
        self._thread = TurnThread("encoder")
        self._loaded: LoadedModel | None = None
        self._closed = False
        self._announce, self._announced = announce, set[str]()
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
        if kind == "query":
            # Somebody waits for it: all of it is one turn, before those of documents.
            return await self._on_thread(lambda: self._encoded_at_once(texts, kind), urgent=True)
        windows: list[Window] = []
        for first, part in _parts(texts):
            windows += await self._on_thread(partial(self._windows_of, part, kind, first))
        pooled = np.empty((len(windows), self._spec.dimension), dtype=np.float32)
        for batch in plan_batches([len(window.ids) for window in windows], self._batch_tokens):
            pooled[batch] = await self._on_thread(partial(self._fitted, [windows[position] for position in batch]))
        return pool_windows(pooled, windows, len(texts))

    async def aclose(self) -> None:
        """Ends the thread after the batch in hand and lets the model go."""
        self._closed = True
        await asyncio.to_thread(self._thread.shut_down)
        self._loaded = None

    async def _on_thread(self, function: Callable[[], T], *, urgent: bool = False) -> T:
        try:
            return await self._thread.run(function, urgent=urgent)
        except (RuntimeError, IndexError, ValueError) as error:  # torch's, of memory too; a shut-down executor's
            if self._closed:
                raise self._is_closed() from error
            raise EncodeFailed(
                f"{self._spec.model!r} could not encode: {error}; the texts can be sent again"
            ) from error

    def _is_closed(self) -> EncodeFailed:
        return EncodeFailed(f"the encoder of {self._spec.model!r} is closed; open a new one")

    def _encoded_at_once(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """On the encoder's thread."""
        windows = self._windows_of(texts, kind)
        pooled = np.empty((len(windows), self._spec.dimension), dtype=np.float32)
        lengths = [len(window.ids) for window in windows]
        with _threads_for(sum(lengths), self._threads):
            for batch in plan_batches(lengths, self._batch_tokens):
                pooled[batch] = self._fitted([windows[position] for position in batch])
        return pool_windows(pooled, windows, len(texts))

    def _windows_of(self, texts: Sequence[str], kind: TextKind, first: int = 0) -> list[Window]:
        """Loads the model if need be and cuts texts, numbered from ``first``, into windows of token ids.

        On the encoder's thread.
        """
        if self._loaded is None:
            loaded = load_model(self._resolved, threads=self._threads, dtype=self._dtype)
            self._loaded = self._packed(self._placed(loaded, self._device))
            self.counters.loads += 1
        spec, loaded = self._resolved.spec, self._loaded
        prefix = spec.query_prefix if kind == "query" else spec.document_prefix
        windows = []
        for number, text in enumerate(texts, first):
            head, body = _token_ids(loaded.tokenizer, prefix, text)
            cut = cut_windows(number, body, loaded.before + head, loaded.after, spec.window)
            windows += cut
            self.counters.tokens += len(body)
            self.counters.truncated_tokens += len(body) - sum(window.own_tokens for window in cut)
        self.counters.texts += len(texts)
        self.counters.windows += len(windows)
        return windows

    def _placed(self, loaded: LoadedModel, device: str) -> LoadedModel:
        """The model on its device, or on the CPU where the device has no room for it; on the encoder's thread."""
        try:
            target = chosen_device(device)
            if (model := if_it_fits(lambda: loaded.model.to(target))) is not None:
                return replace(loaded, model=model, device=_device(target))
        except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without the device
            raise ModelRefused(
                f"the device {device!r} cannot be used ({str(error).partition(chr(10))[0]}); set embeddings.devices to "
                "devices that this machine has, such as cpu or cuda:0"
            ) from error
        self._announce_once("encoder.stays_on_cpu", model=self._spec.model, device=device)
        # Some of the weights may be there already.
        return replace(loaded, model=loaded.model.to(_CPU), device=_device(_CPU))

    def _packed(self, loaded: LoadedModel) -> LoadedModel:
        if loaded.device.type != _CPU:
            return loaded
        return replace(loaded, model=packed(loaded.model, self._batch_tokens))

    def _fitted(self, batch: Sequence[Window]) -> Vectors:
        """One vector a window, computed in parts that fit in memory; on the encoder's thread."""
        parts = halve_until_it_fits(batch, self._pooled, alone=self._alone, on_halving=self._halving)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _halving(self, windows: int) -> None:
        self.counters.halvings += 1
        self._announce_once("encoder.batch_halved", model=self._spec.model, device=self._device, windows=windows)
        _give_back(self._loaded)

    def _alone(self, window: Window) -> Vectors:
        """The vector of a window that did not fit, from the CPU if need be; a row of NaN where that cannot be."""
        home = self._loaded
        if home is not None and home.device != _device(_CPU):
            self._announce_once("encoder.on_cpu", model=self._spec.model, device=self._device, tokens=len(window.ids))
            rows = if_it_fits(lambda: self._pooled_on_cpu(window, home))
            if rows is not None:
                self.counters.cpu_windows += 1
                return rows
        self.counters.refused_windows += 1
        self._announce("encoder.window_refused", model=self._spec.model, tokens=len(window.ids), reason="out of memory")
        return np.full((1, self._spec.dimension), np.nan, dtype=np.float32)

    def _pooled_on_cpu(self, window: Window, home: LoadedModel) -> Vectors:
        try:
            self._loaded = replace(home, model=home.model.to(_CPU), device=_device(_CPU))
            _give_back(home)
            return self._pooled([window])
        finally:
            self._loaded = self._placed(home, str(home.device))

    def _announce_once(self, event: str, **values: str | float) -> None:
        if event not in self._announced:
            self._announced.add(event)
            self._announce(event, **values)

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


def _parts(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Runs of texts with `TOKENIZED_CHARACTERS` or one text, each with the number of its first text."""
    first = size = 0
    for number, text in enumerate(texts):
        if size and size + len(text) > TOKENIZED_CHARACTERS:
            yield first, texts[first:number]
            first, size = number, 0
        size += len(text)
    yield first, texts[first:]


@contextmanager
def _threads_for(tokens: int, threads: int) -> Iterator[None]:
    """Let torch use one thread of a CPU for a few tokens: several wait for each other after every small step.

    Of all-MiniLM-L6-v2 on two idle cores, two threads gain nothing on a query; where other work is on the machine,
    as while a tree is indexed, one thread took 27 ms and two 156.
    """
    import torch  # noqa: PLC0415  (takes seconds)

    if tokens > TOKENS_OF_ONE_THREAD or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def chosen_device(device: str, number: int = 0) -> str:
    """``device`` itself or, for ``auto``, the CUDA device whose turn it is for replica ``number``, else the CPU."""
    if device != AUTO_DEVICE:
        return device
    import torch  # noqa: PLC0415  (takes seconds)

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{number % count}" if count else _CPU


def _device(name: str) -> torch.device:
    import torch  # noqa: PLC0415  (takes seconds)

    return torch.device(name)


def _give_back(loaded: LoadedModel | None) -> None:
    """Lets go of the device memory that torch keeps for later: it is split into pieces that may be too small."""
    import torch  # noqa: PLC0415  (takes seconds)

    if loaded is not None and loaded.device.type == "cuda":
        torch.cuda.empty_cache()


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
