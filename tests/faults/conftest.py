"""Drivers for the tests of faults: two, one for each core, started once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.driver import Driver

SECONDS = 180
"""A test here kills some fifty processes; a time-out in the middle would leave a driver that answers the next test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(SECONDS))


@pytest.fixture(scope="session")
def drivers() -> Iterator[list[Driver]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Driver()) for _ in range(2)]


@pytest.fixture
def driver(drivers: list[Driver]) -> Driver:
    return drivers[0]
