"""``GET /metrics`` of a real service: who may ask, and that it tells what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from indexing.access import Principal
from indexing.settings import Settings
from tests.faults.driver import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

    from tests.conftest import TreeFactory

parse_openmetrics = cast("Callable[[str], Iterable[Metric]]", openmetrics_parser.text_string_to_metric_families)
parse = cast("Callable[[str], Iterable[Metric]]", parser.text_string_to_metric_families)
FILES = {f"a{number}.py": f"def function_{number}():\n    return {number}\n" for number in range(5)}


@pytest.fixture
def service_settings(data_dir: Path) -> Settings:
    """With vectors, of the encoder that needs no weights."""
    return settings_for(data_dir, {"embeddings.model": "hashing-384", "storage.garbage_grace_days": 14})


def samples_of(text: str) -> dict[str, float]:
    """``{"name{label=value}": value}`` as Prometheus reads them."""
    return {
        each.name + "".join(f"{{{name}={value}}}" for name, value in sorted(each.labels.items())): each.value
        for family in parse(text)
        for each in family.samples
    }


async def test_it_tells_what_an_index_run_did(
    client_for: Callable[..., Any], indexed: Any, owner: Any, tree: TreeFactory
) -> None:
    client = client_for(Principal("prometheus", frozenset({"read"})))
    before = samples_of((await client.get("/metrics")).text)
    await indexed(tree(FILES))
    assert await owner.vectors.drained()
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-store"
    found = samples_of(answer.text)
    assert before["codetrove_jobs_ended_total{state=succeeded}"] == 0
    assert found["codetrove_jobs_ended_total{state=succeeded}"] == 1
    assert found["codetrove_jobs{state=running}"] == 0
    assert found["codetrove_worker_files_total{worker=0}"] == len(FILES)
    (model,) = owner.service and [name for name in found if name.startswith("codetrove_vectors{") and "stored" in name]
    assert found[model] == found["codetrove_stage_chunks_total{model=}{stage=ingest}"] == len(FILES)
    assert sum(value for name, value in found.items() if name.startswith("codetrove_encoder_tokens_total")) > 0
    assert found["codetrove_http_requests_total{method=GET}{route=/metrics}{status=200}"] >= 1
    assert found["codetrove_http_requests_in_progress"] >= 1
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert 0 < found["codetrove_memory_used_ratio"] < 2


async def test_openmetrics_is_given_to_who_asks_for_it(client_for: Callable[..., Any]) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = await client_for().get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert list(parse_openmetrics(answer.text))


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        (None, 401),
        (Principal("some", frozenset({"admin"}), frozenset({"u"})), 403),
        (Principal("none", frozenset()), 403),
        (Principal("all", frozenset({"read"})), 200),
    ],
)
async def test_only_who_may_read_everything_is_told(
    client_for: Callable[..., Any], caller: Principal | None, status: int
) -> None:
    assert (await client_for(caller).get("/metrics")).status_code == status
