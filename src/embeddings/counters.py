"""What an encoder has done, in numbers that can be added up over processes."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


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
    halvings: int = 0
    """Batches that did not fit in memory and were cut in two."""
    cpu_windows: int = 0
    """Windows that did not fit on the device alone and were computed on the CPU."""
    refused_windows: int = 0
    """Windows that fitted nowhere; their texts have no vector."""

    def add(self, other: EncoderCounters) -> None:
        """Count what ``other`` has counted as well."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def counted(encoder: object) -> EncoderCounters | None:
    """What an encoder has done so far, in all its processes; None for one that does not count."""
    counters = getattr(encoder, "counters", None)
    return replace(counters) if isinstance(counters, EncoderCounters) else None
