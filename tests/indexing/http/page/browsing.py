"""What the page's tests work with: a real owner with its HTTP edge in a thread, and tabs that note what goes wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from indexing.http.serving import Served, serving
from indexing.runtime import Owner, open_owner
from indexing.settings import load_settings
from indexing.tokens import first_token

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request

T = TypeVar("T")
SECONDS = 20.0

FILES: dict[str, str | bytes] = {
    "src/session.py": (
        'class Session:\n    """Keeps who is signed in."""\n\n'
        "    def renew_session(self) -> None:\n        self.age = 0\n"
    ),
    "src/cart.js": "// The shopping cart.\nexport function addToCart(item) {\n  cart.push(item);\n}\n",
    "docs/guide.md": "# Guide\n\nHow a session is renewed, and what the cart does.\n",
    "long.py": "".join(f"def step_{number}():\n    return {number}\n\n\n" for number in range(200)),
    "empty.bin": b"\0\1\2\3" * 50,
}


@dataclass(slots=True)
class Daemon:
    """An owner with its HTTP edge, on an event loop in a thread of its own."""

    root: Path
    owner: Owner
    served: Served
    token: str
    token_id: str
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return self.served.url

    def do(self, work: Callable[[Owner], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the daemon's loop."""
        result: Future[T] = asyncio.run_coroutine_threadsafe(work(self.owner), self.loop)
        return result.result(SECONDS)

    def index(self, root: Path) -> str:
        """Index a tree to the end; returns the repository's uuid."""

        async def work(owner: Owner) -> str:
            repository = await owner.register(root)
            await owner.service.wait(await owner.service.submit(repository))
            return repository.uuid

        return self.do(work)

    def link(self) -> str:
        """A link that signs in once."""
        return self.served.sign_in_link(self.token_id)


@contextmanager
def running_daemon(base: Path) -> Iterator[Daemon]:
    """Serve a fresh data directory below ``base`` while the context lasts."""
    opened: Future[Daemon] = Future()
    stop = threading.Event()
    settings = load_settings(
        overrides={
            "storage.data_dir": str(base / "data"),
            "service.port": 0,
            "service.allowed_roots": [str(base)],
            "watch.auto_reindex": False,
        }
    )

    async def serve() -> None:
        async with open_owner(settings) as owner, serving(owner, tcp=True) as served:
            first = await asyncio.to_thread(first_token, owner.directory.path)
            token = (await asyncio.to_thread(first.path.read_text)).strip()
            opened.set_result(Daemon(base, owner, served, token, first.id, asyncio.get_running_loop()))
            await asyncio.to_thread(stop.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    thread = threading.Thread(target=run, name="daemon")
    thread.start()
    try:
        yield opened.result(SECONDS)
    finally:
        stop.set()
        thread.join()


def lay_out(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


@dataclass
class Tab:
    """A tab of a browser of its own, with everything that goes wrong in it."""

    page: Page
    url: str
    allowed: list[str] = field(default_factory=list)
    """parts of console errors that a test provokes"""
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to note errors, policy violations and requests to other hosts."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"page error: {error}"))
        self.page.on("request", self._on_request)

    def go(self, fragment: str) -> None:
        """Open a place of the page as a link in another window would."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{fragment}")

    def search(self, query: str) -> None:
        """Type a query and wait for its answer."""
        with self.page.expect_response("**/search"):
            self.page.get_by_role("searchbox").fill(query)

    def left_over(self) -> list[str]:
        return [each for each in self.wrong if not any(part in each for part in self.allowed)]

    def _on_console(self, said: ConsoleMessage) -> None:
        if said.type in {"error", "warning"}:
            self.wrong.append(said.text)

    def _on_request(self, sent: Request) -> None:
        if not sent.url.startswith(self.url):
            self.wrong.append(f"foreign: {sent.url}")


OpenTab: TypeAlias = Callable[..., Tab]
