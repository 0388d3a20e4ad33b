"""How much one caller, and all together, may ask for: token buckets by caller, and slots for what runs at once."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_KEYS: Final = 4096
"""Callers that are remembered; the one that was quiet for longest is forgotten first."""

_NETWORK_BITS = 64


class Buckets:
    """A token bucket for each key: ``burst`` at once, ``rate`` a second on average."""

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = monotonic) -> None:
        """Begin with full buckets; ``rate`` is per second of ``clock``."""
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one; returns 0.0, or the seconds until there is one again, in which case nothing was taken."""
        level, now = self._level(key)
        wait = self._wait(level)
        self._levels[key] = (level if wait else level - 1.0, now)
        self._levels.move_to_end(key)
        if len(self._levels) > MOST_KEYS:
            self._levels.popitem(last=False)
        return wait

    def wait(self, key: str) -> float:
        """Return what `take` would, and take nothing."""
        return self._wait(self._level(key)[0])

    def _level(self, key: str) -> tuple[float, float]:
        now = self._clock()
        level, at = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - at) * self._rate), now

    def _wait(self, level: float) -> float:
        return 0.0 if level >= 1.0 else (1.0 - level) / self._rate


class Slots:
    """So many things at once, and no queue: who finds none is told to come back."""

    def __init__(self, most: int) -> None:
        """Begin with ``most`` free slots."""
        self._free = most

    def take(self) -> bool:
        """Take a slot; False where there is none."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def give(self) -> None:
        """Give a slot back."""
        self._free += 1


def peer_key(address: str) -> str:
    """Return what callers of one place have in common: an IPv4 address, or the /64 network of an IPv6 one.

    One customer has a whole /64 (RFC 6177), so single addresses of it would be no limit.
    """
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{int(parsed) >> _NETWORK_BITS:x}::/64"
    return str(parsed)
