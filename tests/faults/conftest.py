"""Drivers for the tests of faults: two, one for each core, started once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.driver import Driver


@pytest.fixture(scope="session")
def drivers() -> Iterator[list[Driver]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Driver()) for _ in range(2)]


@pytest.fixture
def driver(drivers: list[Driver]) -> Driver:
    return drivers[0]
