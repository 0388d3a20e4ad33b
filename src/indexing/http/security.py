"""The one place that decides which requests reach the service: every HTTP edge, MCP and the page are behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import structlog

from indexing.access import LOCAL, Principal
from indexing.http.credentials import Credentials, Proof
from indexing.http.hosts import (
    LOOPBACK_NAMES,
    SAFE_METHODS,
    allowed_authorities,
    authority_of,
    is_allowed,
    is_from_elsewhere,
    is_plain_path,
    is_surely_own,
)
from indexing.http.intake import check_kind, declares_body, read_body, replayed
from indexing.http.limits import Buckets, Slots, peer_key
from indexing.http.passage import Passage
from indexing.http.refusals import CHALLENGE, Refused, send_empty, send_refusal, with_security_headers
from indexing.http.rights import PUBLIC_TREE, is_public, needs, scopes_of, unguarded_routes
from indexing.http.sessions import COOKIE, SESSION_SECONDS, Sessions
from indexing.tokens import TOKEN_PREFIX, Tokens

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from indexing.settings import ServiceSettings

__all__ = ["Guard", "Sessions", "Tokens", "is_public", "needs", "scopes_of", "unguarded_routes"]

SIGN_IN: Final = "/sign-in"
_TOKEN_NAMES: Final = frozenset(
    {"access_token", "api_key", "apikey", "auth", "auth_token", "authorization", "bearer", "token"}
)
"""Parameters by which clients are known to put a token into a URL, where it ends in logs and histories."""
_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")
_MOST_PARAMETERS: Final = 1000
_BURST_SECONDS: Final = 2
_FAILURES_PER_SECOND: Final = 10
_FAILURES_AT_ONCE: Final = 100
_BUSY_SECONDS: Final = 1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    """What the checks look at."""

    method: str
    path: str
    query: str
    headers: dict[str, list[str]]
    """{name in lower case: values}"""
    peer: str

    @property
    def is_public(self) -> bool:
        return self.method in SAFE_METHODS and is_public(self.path)


class Guard:
    """ASGI middleware: outermost but for the request log.

    In this order: path, Host (421), Origin (403), tokens in the URL (401), who it is (401, 429), how often (429), the
    body's kind and size (415, 413, 408), how many at once (429). ``scope["state"]["principal"]`` says who asks; it is
    None on public paths. ``trusted`` is for the control socket: whoever could connect to it is `LOCAL`, names and
    tokens are not looked at, limits hold.
    """

    def __init__(
        self, app: ASGIApp, *, settings: ServiceSettings, tokens: Tokens, sessions: Sessions, trusted: bool = False
    ) -> None:
        """Stand in front of ``app``."""
        self._app = app
        self._settings = settings
        self._tokens = tokens
        self._sessions = sessions
        self._trusted = trusted
        self._hosts = allowed_authorities(settings.host, settings.allowed_hosts)
        self._failures = Buckets(_FAILURES_PER_SECOND, _FAILURES_AT_ONCE)
        rate = settings.requests_per_second
        self._rates = Buckets(rate, rate * _BURST_SECONDS)
        self._credentials = Credentials(tokens, sessions, self._failures)
        self._bodies = Slots(settings.max_concurrent_requests)
        self._requests = Slots(settings.max_concurrent_requests)
        self._streams = Slots(settings.max_event_streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # Nothing here speaks websockets; closed before it is accepted, it is a 403.
            await send({"type": "websocket.close", "code": 1008})
            return
        scope.setdefault("state", {})["principal"] = None
        request = _request_of(scope)
        is_static = request.path == "/" or request.path.startswith(PUBLIC_TREE)
        send = with_security_headers(scope, send, may_be_kept=is_static)
        try:
            self._check(request)
            if request.path == SIGN_IN and not self._trusted:
                await self._sign_in(request, send)
                return
            proof = await self._who(request)
            scope["state"]["principal"] = None if proof is None else proof.principal
            self._check_rate(request, None if proof is None else proof.principal)
            body = await self._body(request, receive)
            if body is None:
                return
            if not self._requests.take():
                raise Refused.until(_BUSY_SECONDS, "too many requests are being answered; try again in a moment")
        except Refused as refused:
            await send_refusal(refused, scope, receive, send)
            return
        still_good = None if proof is None or self._trusted else proof.still_good
        # Where there is a connection, it is cut first; this ends what has none.
        stall_seconds = 1.5 * self._settings.read_seconds
        passage = Passage(self._requests, self._streams, stall_seconds, still_good)
        await passage.run(self._app, scope, replayed(body, receive), send)

    def _check(self, request: _Request) -> None:
        if not is_plain_path(request.path):
            raise Refused(400, "the path has empty or dot segments, a backslash or control characters")
        if self._trusted:
            return
        hosts = request.headers.get("host", [])
        host = authority_of(hosts[0]) if len(hosts) == 1 else None
        if host is None or not is_allowed(host, self._hosts):
            given = ", ".join(hosts)[:100]
            raise Refused(421, f"this service is not {given!r}; its names are in service.allowed_hosts")
        is_page = request.is_public or request.path == SIGN_IN
        if is_from_elsewhere(request.method, request.headers, host, is_page=is_page):
            raise Refused(403, "a page of another origin may not use this service")
        if _has_token(request):
            detail = "a token in a URL ends in logs and histories; send it as 'Authorization: Bearer', and revoke it"
            raise Refused(401, detail, (CHALLENGE,))

    async def _who(self, request: _Request) -> Proof | None:
        if self._trusted:
            return Proof(LOCAL, "", "", self._credentials)
        if request.is_public:
            return None
        proof = await self._credentials.proof_of(request.headers, request.peer)
        if proof.session and request.method not in SAFE_METHODS and not is_surely_own(request.headers):
            raise Refused(403, "a signed-in page has to say where it comes from: 'Origin' is missing")
        return proof

    def _check_rate(self, request: _Request, principal: Principal | None) -> None:
        key = f"peer {request.peer}" if principal is None else f"principal {principal.name}"
        if wait := self._rates.take(key):
            most = self._settings.requests_per_second
            raise Refused.until(wait, f"more than {most} requests a second (service.requests_per_second)")

    async def _body(self, request: _Request, receive: Receive) -> bytes | None:
        most, seconds = self._settings.max_body_bytes, self._settings.read_seconds
        check_kind(request.headers, most)
        if not declares_body(request.headers):
            return await read_body(receive, most, seconds)
        if not self._bodies.take():
            raise Refused.until(_BUSY_SECONDS, "too many bodies are being read; try again in a moment")
        try:
            return await read_body(receive, most, seconds)
        finally:
            self._bodies.give()

    async def _sign_in(self, request: _Request, send: Send) -> None:
        """GET with a one-time code, or POST with a token, begins a session; DELETE ends it."""
        self._check_rate(request, None)
        if request.method == "DELETE":
            proof = await self._who(request)
            if proof is not None:
                self._sessions.end(proof.session)
            await send_empty(204, (_cookie("", 0, request),), send)
            return
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if request.method == "GET":
            code = dict(parse_qsl(request.query)).get("code", "")
            token_id = await self._credentials.redeem(code, request.peer)
            status, headers = 303, ((b"location", b"/"),)
        elif request.method == "POST":
            proof = await self._credentials.proof_of(request.headers, request.peer, cookies=False)
            token_id, status = proof.token_id, 204
        else:
            raise Refused(405, f"{SIGN_IN} takes GET, POST and DELETE", ((b"allow", b"GET, POST, DELETE"),))
        cookie = _cookie(self._sessions.begin(token_id), SESSION_SECONDS, request)
        log.info("session.begun", token_id=token_id)
        await send_empty(status, (*headers, cookie), send)


def _request_of(scope: Scope) -> _Request:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    client = scope.get("client")
    query = scope.get("query_string", b"").decode("latin-1")
    return _Request(scope["method"], scope["path"], query, headers, peer_key(client[0]) if client else "")


def _has_token(request: _Request) -> bool:
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS)
    except ValueError as error:
        raise Refused(400, f"the URL has more than {_MOST_PARAMETERS} parameters") from error
    if any(name.strip().lower() in _TOKEN_NAMES for name, _ in pairs):
        return True
    texts = [request.path, *(text for pair in pairs for text in pair)]
    return any(_TOKEN.search(text) for text in texts)


def _cookie(value: str, seconds: int, request: _Request) -> tuple[bytes, bytes]:
    """A cookie that scripts cannot read and other sites cannot send; off this machine only TLS carries it."""
    host = authority_of(request.headers["host"][0])
    secure = "" if host is not None and host.host in LOOPBACK_NAMES else "; Secure"
    text = f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
    return b"set-cookie", text.encode("ascii")
