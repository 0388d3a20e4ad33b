"""Counts the requests that this process answers, whatever socket they come by."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds, in seconds, of the buckets of the time until an answer begins."""

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestKind(NamedTuple):
    """What requests are counted by; all three have few values, whoever asks for what."""

    method: str
    route: str
    """template, such as ``/jobs/{job_id}``"""
    status: int


@dataclass(slots=True)
class Latency:
    """How long answers took to begin."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """Answers within each bound and above the one before it; the last ones took longer than any bound."""
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Count an answer."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


@dataclass(slots=True)
class RequestMeter:
    """Requests since the start of the process."""

    requests: Counter[RequestKind] = field(default_factory=Counter)
    latencies: dict[tuple[str, str], Latency] = field(default_factory=dict)
    """{(method, route): time until the answer began}"""
    sent_bytes: int = 0
    """of bodies"""
    in_progress: int = 0

    def count(self, kind: RequestKind, seconds: float, sent_bytes: int) -> None:
        """Count a request that is over; ``seconds`` until its answer began."""
        if kind.method not in _METHODS:
            kind = kind._replace(method="other")
        self.requests[kind] += 1
        self.sent_bytes += sent_bytes
        self.latencies.setdefault((kind.method, kind.route), Latency()).add(seconds)


PROCESS_METER: Final = RequestMeter()
"""A process serves one data directory, by several sockets: what it counts belongs together."""
