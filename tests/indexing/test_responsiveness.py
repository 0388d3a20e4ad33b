"""What a process does to answer while it works."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from indexing.responsiveness import SWITCH_SECONDS, favour_answers


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()


def test_threads_take_turns_quickly_and_the_start_is_not_collected_again() -> None:
    favour_answers()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert gc.get_freeze_count() > 0
