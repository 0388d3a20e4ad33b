"""Which names the service answers to, which pages may call it, and which paths make sense: pure decisions on headers.

A page of another site cannot read our answers (we send no CORS headers), but it can make a browser send requests, and
by DNS rebinding it can make its own name point at this machine. The first is told by ``Origin`` and ``Sec-Fetch-Site``
(Fetch Metadata, W3C), the second by ``Host``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_WILDCARDS: Final = frozenset({"0.0.0.0", "::", "[::]", ""})  # noqa: S104 - they are never names of ours
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MOST_PORT: Final = 65_535

_AUTHORITY = re.compile(
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?)(?::([0-9]{1,5}))?"
)
_ORIGIN = re.compile(r"(https?)://([^/?#@\\\s]{1,270})")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\]|//")


@dataclass(frozen=True, slots=True)
class Authority:
    """Host and port as in RFC 3986, section 3.2; the host in lower case, an IPv6 address in brackets."""

    host: str
    port: int | None


def authority_of(text: str) -> Authority | None:
    """Read ``host`` or ``host:port``; None for anything else, such as user information or odd characters."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    host, port = found[1].lower(), None if found[2] is None else int(found[2])
    if port is not None and port > _MOST_PORT:
        return None
    if host.startswith("["):
        try:
            host = f"[{ip_address(host[1:-1]).compressed}]"
        except ValueError:
            return None
    return Authority(host, port)


def allowed_authorities(bound: str, others: Iterable[str]) -> frozenset[Authority]:
    """Return the names that the service answers to: loopback ones, the address it is bound to, and the configured.

    One without a port stands for any port: a tunnel or a proxy may listen on another, and who can choose a name for us
    could not choose a port that matters. Wildcard addresses are no names.
    """
    allowed = {Authority(name, None) for name in LOOPBACK_NAMES}
    for text in (bound, *others):
        if text in _WILDCARDS:
            continue
        found = authority_of(f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text)
        if found is not None:
            allowed.add(found)
    return frozenset(allowed)


def is_allowed(host: Authority | None, allowed: frozenset[Authority]) -> bool:
    """Whether a request with this ``Host`` is meant for us."""
    return host is not None and (host in allowed or Authority(host.host, None) in allowed)


def is_own_origin(origin: str, host: Authority) -> bool:
    """Whether the page with this ``Origin`` came from where this request goes; ``null`` never did."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return False
    default = _DEFAULT_PORTS[found[1]]
    authority = authority_of(found[2])
    return authority is not None and (authority.host, authority.port or default) == (host.host, host.port or default)


def is_from_elsewhere(method: str, headers: Mapping[str, list[str]], host: Authority, *, is_page: bool) -> bool:
    """Whether another site's page made a browser send this.

    Another port of this machine is another origin though the same site, and its pages are no friends. Following a link
    to the page itself (``is_page``) is fine from anywhere. Without the headers no browser sent it, or an old one.
    """
    origins = headers.get("origin", [])
    if any(not is_own_origin(origin, host) for origin in origins) or len(origins) > 1:
        return True
    sites = headers.get("sec-fetch-site", [])
    if all(site in {"same-origin", "none"} for site in sites):
        return False
    follows_link = headers.get("sec-fetch-mode") == ["navigate"] and headers.get("sec-fetch-dest") == ["document"]
    return not (is_page and method == "GET" and follows_link)


def is_surely_own(headers: Mapping[str, list[str]]) -> bool:
    """Whether a browser vouches for a request that `is_from_elsewhere` let through.

    Where it does not, a cookie is no right to change anything.
    """
    return bool(headers.get("origin")) or headers.get("sec-fetch-site") == ["same-origin"]


def is_plain_path(path: str) -> bool:
    """Whether a decoded path is one that a client means: absolute, no control characters, no steps up, none empty.

    ``%2e%2e`` and ``%2f`` are decoded by then, so what the router sees is what is judged here.
    """
    return path.startswith("/") and not _UNFIT.search(path) and not {".", ".."} & set(path.split("/"))
