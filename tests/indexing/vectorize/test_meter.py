from __future__ import annotations

import pytest

from indexing.cli.progress_view import vector_figures
from indexing.vectorize import meter as module
from indexing.vectorize.meter import Meter
from tests.clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def work(meter: Meter, clock: Clock, seconds: int, texts_a_second: int) -> None:
    for _ in range(seconds):
        clock.now += 1.0
        meter.encoded_texts(texts_a_second, 1.0)


def test_the_rate_shown_is_that_of_the_last_half_minute(clock: Clock) -> None:
    meter = Meter()
    assert meter.progress().per_second is None
    clock.now += 20.0  # a model is loaded
    work(meter, clock, 1, 21)
    assert meter.progress().per_second == pytest.approx(1.0)
    work(meter, clock, 600, 2)
    assert meter.progress().per_second == pytest.approx(2.0)
    work(meter, clock, 40, 30)
    progress = meter.progress()
    assert progress.per_second == pytest.approx(30.0)
    assert progress.seconds == pytest.approx(661.0)


def test_the_time_left_is_that_of_the_rate_shown(clock: Clock) -> None:
    meter = Meter()
    work(meter, clock, 600, 1)
    meter.count({"pending": 3600, "stored": 600}, 0.0)
    work(meter, clock, 40, 30)
    assert vector_figures(meter.progress()) == "600/4,200 vectors · 30/s · 2 min 0 s left"


def test_the_rate_falls_while_nothing_comes_and_idling_is_no_work(clock: Clock) -> None:
    meter = Meter()
    work(meter, clock, 60, 10)
    clock.now += 30.0
    assert meter.progress().per_second == pytest.approx(5.0)
    meter.rest()
    clock.now += 1e6
    assert meter.progress().per_second == pytest.approx(5.0)
    meter.work()
    meter.count_cached(100)
    assert meter.progress().per_second == pytest.approx(100 / 30)


def test_little_is_kept_however_long_the_work_and_however_often_it_is_told(clock: Clock) -> None:
    meter = Meter()
    for _ in range(50_000):
        clock.now += 0.01
        meter.count_cached(1)
    assert len(meter._recent) < 40
    assert meter.progress().per_second == pytest.approx(100.0, rel=0.01)
