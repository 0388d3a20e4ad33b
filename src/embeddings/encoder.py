"""The contract of everything that turns texts into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TextKind: TypeAlias = Literal["query", "document"]
"""What a text is for: models with prefixes embed a question and a passage differently."""

Vectors: TypeAlias = "NDArray[np.float32]"
"""Shape ``(n, dimension)``, one row a text, in the order of the texts."""


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What a caller must know of an encoder; available before anything is loaded."""

    model: str
    """The name that a user chose it by."""
    fingerprint: str
    """32 hexadecimal digits: vectors of equal fingerprints can be compared, others never."""
    dimension: int
    window: int
    """Tokens that the model sees at once, special tokens included; longer texts are embedded in windows and pooled."""
    max_in_flight: int
    """Calls of ``encode`` that are worth having under way at once."""


class Encoder(Protocol):
    """Turns texts into unit vectors. Safe for concurrent calls on one event loop."""

    @property
    def spec(self) -> EncoderSpec:
        """What this encoder is."""
        ...

    async def encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """Returns ``(len(texts), dimension)`` float32, rows of unit length.

        A row is all NaN where the model gave no usable vector (NaN, infinite, or zero): one bad text does not
        spoil the others. Raises ``EncodeFailed``, and the errors of loading (``ModelUnavailable``,
        ``ModelRefused``) from the first call on. A cancelled call stops at the next batch.
        """
        ...

    async def aclose(self) -> None:
        """Frees model and threads; later calls of ``encode`` raise ``EncodeFailed``. May be called twice."""
        ...
