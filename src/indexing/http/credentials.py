"""Who sends a request: an access token in ``Authorization``, or the cookie of a signed-in page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from indexing.http.refusals import CHALLENGE, Refused
from indexing.http.sessions import COOKIE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexing.access import Principal
    from indexing.http.limits import Buckets
    from indexing.http.sessions import Sessions
    from indexing.tokens import Tokens

_MOST_COOKIES: Final = 4
"""Others on this host name may set cookies of our name; no more than these are tried."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Why a request is believed to come from a principal."""

    principal: Principal
    token_id: str
    session: str
    """The cookie's value; empty where the token itself was sent."""
    credentials: Credentials

    async def still_good(self) -> bool:
        """Whether neither the token was revoked nor the session is over."""
        return await self.credentials.are_good(self)


class Credentials:
    """Looks tokens and sessions up, and counts what fails by the address of the peer."""

    def __init__(self, tokens: Tokens, sessions: Sessions, failures: Buckets) -> None:
        """Use these."""
        self._tokens = tokens
        self._sessions = sessions
        self._failures = failures

    async def proof_of(self, headers: Mapping[str, list[str]], peer: str, *, cookies: bool = True) -> Proof:
        """Return who asks; raises `Refused`: 401, or 429 where this peer failed too often lately.

        A token that is good is never refused for what others at the same address do wrong. One that is not is not made
        up for by a cookie.
        """
        authorizations = headers.get("authorization", [])
        if authorizations:
            token = _bearer(authorizations)
            held = None
            if token:
                # Looking for a new token reads a file: not for a peer that was wrong too often.
                held = await self._tokens.held(token, look=not self._failures.wait(peer))
            if held is None:
                raise self._failed(peer, "the token is not known; 'codetrove token create' makes one")
            return Proof(held.principal, held.id, "", self)
        for cookie in _cookies(headers) if cookies else ():
            token_id = self._sessions.token_of(cookie)
            held = None if token_id is None else await self._tokens.by_id(token_id)
            if held is not None:
                return Proof(held.principal, held.id, cookie, self)
        raise self._failed(peer, "a token is needed: 'Authorization: Bearer …', or a page that is signed in")

    async def redeem(self, code: str, peer: str) -> str:
        """Return the token id that a one-time code stands for; raises `Refused` as `proof_of` does."""
        token_id = self._sessions.redeem(code) if code else None
        if token_id is None or await self._tokens.by_id(token_id) is None:
            raise self._failed(peer, "the sign-in link was used before, is older than 5 minutes, or was never made")
        return token_id

    async def are_good(self, proof: Proof) -> bool:
        """Whether what a proof rests on still holds."""
        if proof.session and self._sessions.token_of(proof.session) != proof.token_id:
            return False
        return await self._tokens.by_id(proof.token_id) is not None

    def _failed(self, peer: str, detail: str) -> Refused:
        if wait := self._failures.take(peer):
            return Refused.until(wait, "too many requests without a good token came from this address")
        return Refused(401, detail, (CHALLENGE,))


def _bearer(authorizations: list[str]) -> str:
    """The token of RFC 6750, section 2.1; empty where there is none or more than one."""
    scheme, _, token = authorizations[0].partition(" ")
    return token.strip() if scheme.lower() == "bearer" and len(authorizations) == 1 else ""


def _cookies(headers: Mapping[str, list[str]]) -> list[str]:
    pairs = [pair.strip().partition("=") for header in headers.get("cookie", []) for pair in header.split(";")]
    return [value for name, _, value in pairs if name == COOKIE and value][:_MOST_COOKIES]
