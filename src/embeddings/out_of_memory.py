"""What to do when a batch does not fit in memory: smaller ones, down to a single item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_SIGNS = ("out of memory", "DefaultCPUAllocator", "STATUS_ALLOC_FAILED")
"""How torch, CUDA, cuBLAS and cuDNN word it where they raise a plain ``RuntimeError``."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, the device's or the host's, was too small."""
    # By name: torch, which has the class, may not be imported for this.
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def if_it_fits(compute: Callable[[], R]) -> R | None:
    """The result of ``compute``, or ``None`` where it ran out of memory; other errors pass."""
    try:
        return compute()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Only here, where the error and with it every tensor of its frames is gone, is there room for another attempt.
    return None


def halve_until_it_fits(
    items: Sequence[T],
    compute: Callable[[Sequence[T]], R],
    *,
    alone: Callable[[T], R],
    on_halving: Callable[[int], None],
) -> list[R]:
    """Computes ``items`` in as few parts as fit in memory, in their order; a result a part.

    A part that does not fit is cut in two, after ``on_halving`` was called with its length; a single item that does
    not fit is left to ``alone``.
    """
    results: list[R] = []
    todo = [list(items)]
    while todo:
        part = todo.pop()
        result = if_it_fits(partial(compute, part))
        if result is not None:
            results.append(result)
        elif len(part) > 1:
            on_halving(len(part))
            middle = (len(part) + 1) // 2
            todo += [part[middle:], part[:middle]]
        else:
            results.append(alone(part[0]))
    return results
