"""What a process does to answer while it works."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexing.responsiveness import SWITCH_SECONDS, leave_start_to_itself
from indexing.runtime import open_owner
from tests.faults.driver import settings_for


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.unfreeze()


async def test_threads_take_turns_quickly_while_something_is_owned(tmp_path: Path) -> None:
    before = sys.getswitchinterval()
    async with open_owner(settings_for(tmp_path)):
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
    assert sys.getswitchinterval() == before


def test_what_was_loaded_at_the_start_is_not_collected_again() -> None:
    leave_start_to_itself()
    assert gc.get_freeze_count() > 0
