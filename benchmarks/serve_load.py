"""A client of the daemon, and many of them at a fixed rate, whether the daemon keeps up or not."""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any, Final

from ingest_measures import percentile
from ingest_queries import QUERIES

CLIENTS: Final = 24
"""Connections: enough that a slow answer delays no other request."""
WARM_SECONDS: Final = 120
_MODES: Final = ("text", "hybrid")


class Client:
    """One connection that is kept open."""

    def __init__(self, port: int, token: str) -> None:
        """Prepare; ``token`` of a caller who may do everything that is asked."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and answer."""
        status, read = self._exchange(method, path, body)
        return status, json.loads(read) if read else None

    def search(self, query: str, mode: str) -> tuple[float, Any]:
        """Return the seconds from the request to the last byte of its answer, and the answer."""
        before = time.perf_counter()
        status, read = self._exchange("POST", "/search", {"query": query, "mode": mode})
        taken = time.perf_counter() - before
        assert status == http.client.OK, read
        return taken, json.loads(read)

    def _exchange(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, content, self._headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def wait_until_warm(self) -> None:
        """Search until vectors take part."""
        until = time.monotonic() + WARM_SECONDS
        while self.search("warm", "hybrid")[1]["degraded"]:
            assert time.monotonic() < until, "the model is not loaded yet"
            time.sleep(0.2)


def sustained(port: int, token: str, busy: Path, seconds: int, a_second: int) -> dict[str, Any]:
    """Search at a fixed rate while a tree is indexed again and again.

    A request's time runs from when it was due: one that has to wait for a connection counts as slow.
    """
    indexed, over = count(), threading.Event()
    indexing = threading.Thread(target=_index_until, args=(Client(port, token), busy, over, indexed))
    indexing.start()
    due = iter(range(seconds * a_second))
    taking, began = threading.Lock(), time.perf_counter() + 0.5
    taken: list[float] = []
    failed: list[str] = []

    def ask() -> None:
        client = Client(port, token)
        while True:
            with taking:
                number = next(due, None)
            if number is None:
                return
            at = began + number / a_second
            time.sleep(max(0.0, at - time.perf_counter()))
            query = next(islice(cycle(QUERIES["linux"]), number % len(QUERIES["linux"]), None))
            body = {"query": query, "mode": _MODES[number % 2]}
            try:
                status, _ = client.request("POST", "/search", body)
            except OSError as error:
                failed.append(repr(error))
                client = Client(port, token)
                continue
            taken.append(time.perf_counter() - at)
            if status != http.client.OK:
                failed.append(str(status))

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join()
    lasted = time.perf_counter() - began
    over.set()
    indexing.join()
    name = f"{a_second} searches a second while indexing"
    return {
        f"{name}, seconds": lasted,
        f"{name}, answered": len(taken) - len(failed),
        f"{name}, failed": len(failed),
        f"{name}, p50 ms": 1e3 * statistics.median(taken),
        f"{name}, p95 ms": 1e3 * percentile(taken, 0.95),
        f"{name}, p99 ms": 1e3 * percentile(taken, 0.99),
        f"{name}, slowest ms": 1e3 * max(taken),
        f"{name}, times that the tree was indexed": next(indexed),
    }


def _index_until(client: Client, tree: Path, over: threading.Event, indexed: count[int]) -> None:
    """Add a tree, wait for its job, take it out, and begin again."""
    while not over.is_set():
        status, added = client.request("POST", "/repositories", {"root": str(tree)})
        assert status in {http.client.OK, http.client.CREATED}, added
        job = added["job"]
        while job["state"] in {"queued", "running"}:
            time.sleep(0.25)
            if over.is_set():
                client.request("POST", f"/jobs/{job['id']}/cancel", {})
            _, job = client.request("GET", f"/jobs/{job['id']}")
        next(indexed)
        client.request("DELETE", f"/repositories/{added['repository']['uuid']}")
