"""What is decided about a reading, and when the guard tells about it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from structlog.testing import capture_logs

from indexing import memory_guard
from indexing.memory import MemoryReading
from indexing.memory_guard import GuardSettings, MemoryGuard, Verdict, decide
from indexing.settings.schema import MemorySettings

MIB = 1024 * 1024
SETTINGS = GuardSettings(max_percent=80, max_worker_bytes=512 * MIB, check_seconds=0.001)


def used(percent: float, *, limit: int = 100_000 * MIB) -> MemoryReading:
    """A machine whose memory is used to that percent."""
    return MemoryReading(limit, int(limit * percent / 100), "host")


def limit_of(reading: MemoryReading, *, limit_now: int = 4, wanted: int = 8, running: int = 4) -> int:
    return decide(reading, limit_now=limit_now, wanted=wanted, running=running, settings=SETTINGS).limit


async def test_what_was_freed_is_given_back_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_guard, "GIVE_BACK_SECONDS", 0.0)
    loop, given = asyncio.get_running_loop(), asyncio.Event()

    def give_back() -> None:
        loop.call_soon_threadsafe(given.set)

    guard = MemoryGuard(
        SETTINGS,
        wanted=lambda: 4,
        running=lambda: 4,
        on_verdict=lambda _: None,
        read=lambda: used(50),
        give_back=give_back,
    )
    async with guard:
        await asyncio.wait_for(given.wait(), 10)


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(20, 5), (69.9, 5), (70.1, 4), (80, 4), (80.1, 3), (95, 3)],
)
def test_the_limit_moves_one_step_a_look_and_rests_in_between(percent: float, expected: int) -> None:
    assert limit_of(used(percent)) == expected


def test_f014_one_worker_may_always_run() -> None:
    assert limit_of(used(100), limit_now=1, running=1) == 1
    assert limit_of(used(100), limit_now=1, running=0) == 1
    assert limit_of(MemoryReading(0, 0, "cgroup"), running=0) == 1


def test_the_limit_follows_what_is_wanted_downwards_at_once() -> None:
    assert limit_of(used(75), limit_now=8, wanted=2) == 2


def test_no_permit_is_given_back_that_would_lead_above_the_limit() -> None:
    # 69 % of 4000 MiB are 2760 MiB, and 80 % are 3200 MiB: no room for 512 MiB more. At 67 % there is.
    assert limit_of(used(69, limit=4000 * MIB), limit_now=1, running=1) == 1
    assert limit_of(used(67, limit=4000 * MIB), limit_now=1, running=1) == 2


def test_there_are_no_more_permits_than_what_is_left_holds_besides_those_that_run() -> None:
    small = MemoryReading(2048 * MIB, 512 * MIB, "cgroup")
    assert limit_of(small, limit_now=8, running=0) == 3
    assert limit_of(small, limit_now=8, running=2) == 5


@pytest.mark.parametrize(("percent", "expected"), [(80.1, False), (89.9, False), (90.1, True)])
def test_f014_intake_stops_halfway_between_the_limit_and_everything(percent: float, *, expected: bool) -> None:
    assert decide(used(percent), limit_now=4, wanted=4, running=4, settings=SETTINGS).is_pressed is expected


def test_f014_intake_goes_on_while_nothing_runs_that_could_free_memory() -> None:
    assert not decide(used(99), limit_now=1, wanted=4, running=0, settings=SETTINGS).is_pressed


def test_nothing_held_back_has_no_reason() -> None:
    assert decide(used(50), limit_now=4, wanted=4, running=4, settings=SETTINGS) == Verdict(4, False, "")
    assert decide(used(85), limit_now=1, wanted=1, running=1, settings=SETTINGS) == Verdict(1, False, "")


def test_a_reason_names_the_value_the_limit_and_the_remedy() -> None:
    reading = MemoryReading(1024 * MIB, 948 * MIB, "cgroup")
    reason = decide(reading, limit_now=4, wanted=4, running=4, settings=SETTINGS).reason
    assert reason == (
        "93 % of the 1024 MiB of the control group are in use, above memory.max_percent = 80, so 3 of 4 workers may "
        "run and no new files are taken in; give codetrove more memory, end other programs, or lower "
        "indexing.concurrent_workers"
    )


def test_a_reason_below_the_limit_names_how_much_a_worker_may_need() -> None:
    reading = MemoryReading(1024 * MIB, 400 * MIB, "host")
    reason = decide(reading, limit_now=4, wanted=4, running=0, settings=SETTINGS).reason
    assert "39 % of the 1024 MiB of this machine are in use" in reason
    assert "624 MiB are left for workers of up to 512 MiB (memory.max_memory_per_worker)" in reason
    assert "1 of 4 workers may run;" in reason


readings = st.builds(
    MemoryReading,
    st.integers(0, 64 * 1024 * MIB),
    st.integers(0, 64 * 1024 * MIB),
    st.sampled_from(["host", "cgroup", "rlimit"]),
)
bounds = st.builds(GuardSettings, st.integers(10, 99), st.integers(64 * MIB, 4096 * MIB), st.just(2))
counts = st.integers(-1, 65)


@examples(max_examples=200)
@given(readings, counts, counts, counts, bounds)
def test_a_verdict_stays_within_its_bounds_and_moves_up_by_one_at_most(
    reading: MemoryReading, limit_now: int, wanted: int, running: int, settings: GuardSettings
) -> None:
    verdict = decide(reading, limit_now=limit_now, wanted=wanted, running=running, settings=settings)
    assert 1 <= verdict.limit <= max(1, wanted)
    assert verdict.limit <= max(1, limit_now) + 1
    assert bool(verdict.reason) == (verdict.is_pressed or verdict.limit < wanted)
    if verdict.is_pressed:
        assert reading.percent > settings.max_percent
        assert running > 0


@examples(max_examples=200)
@given(readings, st.integers(0, 4096 * MIB), st.tuples(counts, counts, counts), bounds)
def test_more_memory_in_use_never_lets_more_run(
    reading: MemoryReading, more: int, permits: tuple[int, int, int], settings: GuardSettings
) -> None:
    limit_now, wanted, running = permits
    fuller = MemoryReading(reading.limit_bytes, reading.used_bytes + more, reading.source)
    before = decide(reading, limit_now=limit_now, wanted=wanted, running=running, settings=settings)
    after = decide(fuller, limit_now=limit_now, wanted=wanted, running=running, settings=settings)
    assert after.limit <= before.limit
    assert after.is_pressed >= before.is_pressed


@examples(max_examples=100)
@given(st.integers(1, 64), st.integers(0, 64), st.floats(80.1, 100), st.floats(0, 60))
def test_f014_pressure_leads_down_to_one_and_room_leads_up_again(
    wanted: int, running: int, full: float, free: float
) -> None:
    limit = wanted
    for _ in range(wanted):
        limit = limit_of(used(full), limit_now=limit, wanted=wanted, running=min(limit, running))
    assert limit == 1
    for _ in range(wanted):
        limit = limit_of(used(free), limit_now=limit, wanted=wanted, running=min(limit, running))
    assert limit == wanted


def test_the_settings_are_taken_over_in_bytes() -> None:
    settings = MemorySettings(max_percent=70, max_memory_per_worker=100, check_seconds=3)
    assert GuardSettings.of(settings) == GuardSettings(70, 100 * MIB, 3)
    assert GuardSettings.of(settings).pressed_percent == 85


@dataclass(slots=True)
class Scene:
    """What a guard is told, and what it told."""

    readings: Iterator[MemoryReading | OSError]
    wanted: int = 4
    running: int = 4
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: float = 3600

    def read(self) -> MemoryReading:
        reading = next(self.readings)
        if isinstance(reading, OSError):
            raise reading
        return reading

    def guard(self) -> MemoryGuard:
        return MemoryGuard(
            GuardSettings(80, 512 * MIB, self.seconds),
            wanted=lambda: self.wanted,
            running=lambda: self.running,
            on_verdict=self.verdicts.append,
            read=self.read,
        )

    @property
    def limits(self) -> list[int]:
        return [verdict.limit for verdict in self.verdicts]


async def test_a_guard_tells_only_what_changes() -> None:
    scene = Scene(iter([used(50), used(51), used(85), used(75), used(74), used(50), used(50)]))
    async with scene.guard() as guard:
        assert guard.reading == used(50)
        looks = [(await guard.look()).limit for _ in range(6)]
        assert guard.reading == used(50)
        assert guard.verdict == scene.verdicts[-1]
    assert looks == [4, 3, 3, 3, 4, 4]
    assert scene.limits == [4, 3, 4]


async def test_before_the_first_look_everything_that_is_wanted_may_run() -> None:
    guard = Scene(iter([])).guard()
    assert guard.verdict == Verdict(4, False, "")
    assert guard.reading is None


async def test_more_that_is_wanted_comes_into_force_at_once_where_nothing_is_held_back() -> None:
    scene = Scene(iter([used(75), used(75), used(85), used(75), used(50)]), wanted=1)
    async with scene.guard() as guard:
        scene.wanted = 4
        assert (await guard.look()).limit == 4
        assert (await guard.look()).limit == 3
        scene.wanted = 8
        assert (await guard.look()).limit == 3
        assert (await guard.look()).limit == 4


async def test_f014_more_that_is_wanted_waits_while_memory_is_short() -> None:
    scene = Scene(iter([used(85), used(85)]), wanted=1)
    async with scene.guard() as guard:
        assert guard.verdict.reason == ""
        scene.wanted = 4
        assert (await guard.look()).limit == 1
        assert guard.verdict.reason


async def test_memory_that_cannot_be_read_changes_nothing_and_is_said_once() -> None:
    broken = OSError(5, "Input/output error")
    scene = Scene(iter([broken, used(85), broken, broken, used(85), broken]))
    with capture_logs() as logs:
        async with scene.guard() as guard:
            assert guard.verdict.limit == 4
            assert [(await guard.look()).limit for _ in range(5)] == [3, 3, 3, 2, 2]
    assert [log["event"] for log in logs].count("memory.unreadable") == 3
    assert scene.limits == [3, 2]


async def test_what_is_held_back_and_released_is_logged() -> None:
    scene = Scene(iter([used(50), used(85), used(95), used(20), used(20)]), wanted=2)
    with capture_logs() as logs:
        async with scene.guard() as guard:
            for _ in range(4):
                await guard.look()
    assert [(log["event"], log["limit"]) for log in logs] == [
        ("memory.held_back", 1),
        ("memory.held_back", 1),
        ("memory.released", 2),
    ]


async def test_the_guard_looks_by_itself_until_its_context_ends() -> None:
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()
    scene = Scene(iter([used(50), used(85), used(85)]), seconds=0.001)
    source = scene.readings

    def endless() -> Iterator[MemoryReading | OSError]:
        yield from source
        while True:
            loop.call_soon_threadsafe(looked.set)
            yield used(75)

    scene.readings = endless()
    before = asyncio.all_tasks()
    async with asyncio.timeout(30):
        async with scene.guard():
            await looked.wait()
    assert scene.limits == [4, 3, 2]
    assert asyncio.all_tasks() == before


class Teller:
    """Fails to take a lower limit over."""

    def __init__(self) -> None:
        self.failed = asyncio.Event()

    def __call__(self, verdict: Verdict) -> None:
        if verdict.limit < 4:
            self.failed.set()
            raise LookupError("permits")

    def guard(self) -> MemoryGuard:
        readings = iter([used(50), used(85)])
        settings = GuardSettings(80, 512 * MIB, 0.001)
        return MemoryGuard(settings, wanted=lambda: 4, running=lambda: 4, on_verdict=self, read=lambda: next(readings))


async def test_an_error_of_the_one_who_is_told_comes_out_at_the_end() -> None:
    teller = Teller()
    with capture_logs() as logs, pytest.raises(LookupError, match="permits"):
        async with asyncio.timeout(30), teller.guard():
            await teller.failed.wait()
    assert [log["event"] for log in logs] == ["memory.held_back", "memory.guard_ended"]


async def test_an_error_inside_the_context_is_not_covered_up() -> None:
    async def fail_inside() -> None:
        teller = Teller()
        async with asyncio.timeout(30), teller.guard():
            await teller.failed.wait()
            raise KeyError("inside")

    with capture_logs(), pytest.raises(KeyError, match="inside"):
        await fail_inside()
