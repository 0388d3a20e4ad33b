"""What a tool gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """Lines for an agent to read, and the same for a program."""

    lines: Sequence[str]
    content: dict[str, Any]
