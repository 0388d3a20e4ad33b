"""``/healthz`` and ``/readyz``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexing.http.context import ServiceContext
from indexing.http.loop_health import WINDOW_SECONDS, LoopHealth
from tests.indexing.http.conftest import ClientFor

if TYPE_CHECKING:
    import pytest

    from tests.conftest import TreeFactory


async def test_everyone_may_ask_and_a_service_that_works_says_ok(client_for: ClientFor) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await client_for(None).get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_health_fails_when_the_loop_is_stuck(
    context: ServiceContext, client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexing.loop_watchdog.STUCK_SECONDS", -1.0)
    answer = await client_for(None).get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"status": "held up"})


def test_a_loop_that_is_held_up_in_three_windows_in_a_row_is_unhealthy_until_one_without() -> None:
    health, now = LoopHealth(0.0), 0.0
    verdicts = []
    for times in (1, 2, 2, 3, 5, 6, 7, 7, 8):
        now += WINDOW_SECONDS
        verdicts.append(health.look(times, now))
    assert verdicts == [True, True, True, True, True, False, False, True, True]


def test_several_probers_count_a_window_once() -> None:
    health = LoopHealth(0.0)
    for probe in range(100):
        assert health.look(probe, WINDOW_SECONDS * probe / 50)


async def test_readiness_fails_while_shutting_down_and_while_recovering(
    tree: TreeFactory, context: ServiceContext, client_for: ClientFor
) -> None:
    client, owner = client_for(None), context.owner
    repository = await owner.register(tree({"a.py": "x = 1\n"}))
    job_id = await owner.service.submit(repository)
    await owner.service.pause(job_id)
    assert (await client.get("/readyz")).status_code == 200, "an ordinary job"
    owner.to_index_again.append(repository)
    recovering = await client.get("/readyz")
    assert (recovering.status_code, recovering.json()) == (503, {"status": "recovering"})
    await owner.service.resume(job_id)
    await owner.service.wait(job_id)
    assert (await client.get("/readyz")).json() == {"status": "ok"}
    context.closing.set()
    closing = await client.get("/readyz")
    assert (closing.status_code, closing.json()) == (503, {"status": "shutting down"})
    assert (await client.get("/healthz")).status_code == 200
