"""Takes the pictures of the web page that the documentation shows, with a real service and the system's Chromium.

    python benchmarks/page_images.py                 into docs/images
    python benchmarks/page_images.py --to DIRECTORY  somewhere else

Python's own library is what is indexed, so the pictures come out alike on every machine; its place is shown as one in
a home directory. ``--model`` names the model; a small one is enough.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog
from playwright.async_api import Page, Route, async_playwright

from indexing.http.serving import Served, serving
from indexing.runtime import Owner, open_owner
from indexing.settings import load_settings
from indexing.tokens import first_token

PACKAGES: Final = ("asyncio", "http", "json", "email")
SHOWN_HOME: Final = "/home/ada/src"
SIZE: Final = {"width": 1120, "height": 760}
MOST_BYTES: Final = 200_000
MOST_SECONDS: Final = 120
QUERY: Final = "cancel a task that takes too long"


def lay_out(home: Path) -> list[Path]:
    """Copy packages of the standard library, and all of it as one large tree, below ``home``."""
    library = Path(sysconfig.get_paths()["stdlib"])
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", "*.so", "*.a", "config-*")
    roots = [home / name for name in (*PACKAGES, "stdlib")]
    for root in roots:
        source = library if root.name == "stdlib" else library / root.name
        shutil.copytree(source, root, ignore=ignored)
    return roots


@asynccontextmanager
async def service(base: Path, model: str) -> AsyncIterator[tuple[Owner, Served, str]]:
    """Serve a fresh data directory; yields the owner, its edge and a token's id."""
    settings = load_settings(
        overrides={
            "storage.data_dir": str(base / "data"),
            "service.port": 0,
            "service.allowed_roots": [str(base)],
            "embeddings.model": model,
        }
    )
    async with open_owner(settings, watch=True) as owner, serving(owner, tcp=True) as served:
        token = await asyncio.to_thread(first_token, owner.directory.path)
        yield owner, served, token.id


async def index(owner: Owner, root: Path, *, to_the_end: bool = True) -> None:
    """Index a tree."""
    repository = await owner.register(root)
    job = await owner.service.submit(repository)
    if to_the_end:
        await owner.service.wait(job)


async def vectors_made(owner: Owner) -> None:
    """Wait until every chunk has its vector."""
    async with asyncio.timeout(MOST_SECONDS):
        while owner.vectors is not None:
            progress = owner.vectors.progress
            if progress is not None and progress.stored and not progress.pending:
                return
            await asyncio.sleep(0.5)


def rename(home: Path) -> Any:
    """Return a handler that shows another home directory than the real one in what the service answers."""

    async def handle(route: Route) -> None:
        if route.request.url.endswith("/events"):
            await route.continue_()
            return
        answer = await route.fetch()
        if "json" not in answer.headers.get("content-type", ""):
            await route.fulfill(response=answer)
            return
        data = str(home.parent / "data")
        text = (await answer.text()).replace(str(home), SHOWN_HOME).replace(data, "/home/ada/.local/share/codetrove")
        await route.fulfill(response=answer, body=text)

    return handle


async def take(page: Page, place: Path, name: str, awaited: str) -> None:
    """Write one picture, once what it is about is there."""
    await page.locator(awaited).first.wait_for()
    await page.wait_for_timeout(300)
    path = place / f"{name}.png"
    await page.screenshot(path=path)
    written = path.stat().st_size
    print(f"{path.name}: {written / 1000:.0f} kB")
    assert written < MOST_BYTES, f"{path} has {written} bytes, the limit is {MOST_BYTES}; show less"


async def views(page: Page, url: str, place: Path, scheme: str) -> None:
    """Take the pictures that need nothing to be under way."""
    await page.goto(f"{url}/#/search?q={QUERY.replace(' ', '+')}")
    await take(page, place, f"search-{scheme}", ".hit")
    if scheme == "dark":
        await page.locator(".hit .path").first.click()
        await take(page, place, "code", ".hit-line")
        await page.keyboard.press("Escape")
    await page.goto(f"{url}/#/repositories")
    await take(page, place, f"repositories-{scheme}", ".card")
    if scheme == "light":
        await page.goto(f"{url}/#/service")
        await take(page, place, "service", "#facts dt")


async def main(place: Path, model: str) -> None:
    """Index, sign a browser in for each scheme, and take the pictures."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    assert chromium, "there is no chromium on PATH"
    with TemporaryDirectory() as directory:
        home = Path(directory) / "src"
        roots = await asyncio.to_thread(lay_out, home)
        async with service(Path(directory), model) as (owner, served, token), async_playwright() as playwright:
            for root in roots[:-1]:
                await index(owner, root)
            await vectors_made(owner)
            arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
            pages = {}
            for scheme in ("light", "dark"):
                context = await browser.new_context(color_scheme=scheme, viewport=SIZE)  # type: ignore[arg-type]
                pages[scheme] = page = await context.new_page()
                await page.route("**/*", rename(home))
                await page.goto(served.sign_in_link(token))
                # A question that only vectors can answer waits for the model.
                await page.goto(f"{served.url}/#/search?q=warm&mode=vector")
                await page.locator(".hit").first.wait_for()
                await views(page, served.url, place, scheme)
                await page.goto(f"{served.url}/#/jobs")
            await index(owner, roots[-1], to_the_end=False)
            for scheme, page in pages.items():
                await page.wait_for_timeout(6000 if scheme == "light" else 0)
                await take(page, place, f"jobs-{scheme}", ".rates:not([hidden])")
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / "docs" / "images", help="a directory")
    parser.add_argument("--model", default="hashing-384", help="the model that makes vectors")
    given = parser.parse_args()
    structlog.configure(processors=[structlog.processors.add_log_level], logger_factory=structlog.ReturnLoggerFactory())
    given.to.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(given.to, given.model))
