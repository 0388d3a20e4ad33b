"""Whether everybody can use the page: names, roles, headings, contrast, small screens; the browser's own view of it."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Route, ViewportSize, expect

from tests.indexing.http.page.browsing import OpenTab, Tab

VIEWS = {
    "welcome": "#/search",
    "hits": "#/search?q=session",
    "repositories": "#/repositories",
    "jobs": "#/jobs",
    "service": "#/service",
}
NARROW = ViewportSize(width=320, height=640)
CONTROLS = {
    "button", "checkbox", "combobox", "dialog", "link", "meter", "progressbar", "searchbox", "switch", "textbox",
    "image", "img", "region", "navigation", "search", "form",
}  # fmt: skip

LOW_CONTRAST = """() => {
  const parse = (text) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { rgb: [r, g, b], a };
  };
  const light = (rgb) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.a > 250) return colour.rgb;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    const ink = light(parse(getComputedStyle(element).color).rgb);
    const paper = light(ground(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${element.className} ${walker.currentNode.textContent}`);
  }
  return found;
}"""

BEYOND = """() => [...document.querySelectorAll("body *")]
  .filter((each) => !each.closest(".scroll, .unseen, .skip, [hidden]") && each.checkVisibility())
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => `${each.tagName}.${each.className}`)"""


def shown(tab: Tab, view: str) -> None:
    """Open a view and wait for what it loads."""
    tab.go(VIEWS[view])
    awaited = {
        "welcome": "#welcome .known",
        "hits": ".hit",
        "repositories": ".card",
        "jobs": "#history tbody tr",
        "service": "#facts dt",
    }
    expect(tab.page.locator(awaited[view]).first).to_be_visible()


@pytest.mark.parametrize("view", VIEWS)
def test_everything_usable_has_a_name_and_landmarks_and_headings_are_in_order(tab: Tab, view: str) -> None:
    shown(tab, view)
    session = tab.page.context.new_cdp_session(tab.page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
    assert len(seen) > 8
    assert [node["role"]["value"] for node in seen if not node.get("name", {}).get("value", "").strip()] == []
    page = tab.page
    for role in ("banner", "main", "navigation"):
        expect(page.get_by_role(role)).to_have_count(1)
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')]"
        ".filter((each) => each.checkVisibility()).map((each) => Number(each.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    expect(page.locator("#views [aria-current=page]")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_enough(open_tab: OpenTab, scheme: str) -> None:
    tab = open_tab(color_scheme=scheme)
    for view in VIEWS:
        shown(tab, view)
        assert tab.page.evaluate(LOW_CONTRAST) == []


@pytest.mark.parametrize("view", VIEWS)
def test_a_narrow_screen_or_a_zoomed_one_needs_no_scrolling_sideways(open_tab: OpenTab, view: str) -> None:
    tab = open_tab(viewport=NARROW)
    shown(tab, view)
    assert_nothing_beyond(tab)


def test_a_hit_of_a_repository_without_a_name_fits_a_narrow_screen(open_tab: OpenTab) -> None:
    tab = open_tab(viewport=NARROW)
    root = "/home/somebody/source/of-many/separate-repositories/shop"

    def from_elsewhere(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        for hit in answer["hits"]:
            hit["root"] = root
        route.fulfill(response=response, json=answer)

    # Hits may come before the names do; the root stands in for one.
    tab.page.route("**/repositories", lambda route: route.fulfill(json={"repositories": []}))
    tab.page.route("**/search", from_elsewhere)
    shown(tab, "hits")
    expect(tab.page.locator(".hit .badge bdi").first).to_have_text(root)
    assert_nothing_beyond(tab)


def assert_nothing_beyond(tab: Tab) -> None:
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.page.evaluate(BEYOND) == []


def test_every_focus_can_be_seen_and_the_first_stop_skips_to_the_content(tab: Tab) -> None:
    shown(tab, "repositories")
    page = tab.page
    page.evaluate("document.activeElement.blur(); document.body.tabIndex = -1; document.body.focus()")
    stops = []
    for _ in range(12):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none", stops
    assert stops[0] == "skip"
    assert len(set(stops)) > 8


def test_nothing_moves_for_those_who_want_it_still(open_tab: OpenTab) -> None:
    tab = open_tab(reduced_motion="reduce")
    moving = "getComputedStyle(document.querySelector('.switch') ?? document.body).transitionDuration"
    shown(tab, "service")
    assert tab.page.evaluate(moving) in {"0s", ""}


@pytest.mark.skipif("AXE_SCRIPT" not in os.environ, reason="AXE_SCRIPT names no axe.min.js")
def test_axe_finds_nothing(tab: Tab) -> None:
    script = Path(os.environ["AXE_SCRIPT"]).read_text(encoding="utf-8")
    session = tab.page.context.new_cdp_session(tab.page)
    for view in VIEWS:
        shown(tab, view)
        session.send("Runtime.evaluate", {"expression": script})
        found = session.send(
            "Runtime.evaluate",
            {
                "expression": "axe.run().then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.nodes[0].html])))",
                "awaitPromise": True,
            },
        )
        assert found["result"]["value"] == "[]", view
