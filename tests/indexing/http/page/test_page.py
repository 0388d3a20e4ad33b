"""The page as its users meet it: signing in, searching, adding, watching jobs, flags, by mouse and by keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from playwright.sync_api import Route, expect

from indexing.runtime import Owner
from tests.indexing.http.page.browsing import Daemon, OpenTab, Tab

OVERRIDE = "\u202e"


def lay(root: Path, **files: str) -> Path:
    root.mkdir(parents=True)
    for number, (name, content) in enumerate(files.items()):
        (root / f"{name}_{number}.py").write_text(content)
    return root


def test_a_one_time_link_signs_in_and_the_search_box_is_ready(open_tab: OpenTab, daemon: Daemon) -> None:
    tab = open_tab(sign_in=False)
    tab.allowed.append("401")
    expect(tab.page.get_by_role("heading", name="You are signed out")).to_be_visible()
    expect(tab.page.locator("#signed-out")).to_contain_text("codetrove serve")
    link = daemon.link()
    tab.page.goto(link)
    assert tab.page.url == f"{daemon.url}/"
    expect(tab.page.get_by_role("searchbox", name="Search code")).to_be_focused()
    expect(tab.page.locator("#welcome")).to_contain_text("shop")
    cookie = tab.page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert tab.page.evaluate("document.cookie") == ""
    other = open_tab(sign_in=False)
    other.allowed.append("401")
    answer = other.page.goto(link)
    assert answer is not None
    assert answer.status == 401


def test_a_token_signs_in_too_and_signing_out_ends_it(open_tab: OpenTab, daemon: Daemon) -> None:
    tab = open_tab(sign_in=False)
    tab.allowed.append("401")
    tab.page.get_by_label("Token", exact=True).fill("not-a-token")
    tab.page.get_by_role("button", name="Sign in").click()
    expect(tab.page.locator("#sign-in-problem")).to_contain_text("not known")
    tab.page.get_by_label("Token", exact=True).fill(daemon.token)
    tab.page.get_by_role("button", name="Sign in").click()
    expect(tab.page.get_by_role("searchbox")).to_be_focused()
    assert daemon.token not in tab.page.evaluate("JSON.stringify({...localStorage}) + document.body.innerHTML")
    tab.page.get_by_role("link", name="Service").click()
    tab.page.get_by_role("button", name="Sign out").click()
    expect(tab.page.get_by_role("heading", name="You are signed out")).to_be_focused()
    assert tab.page.context.cookies() == []


def test_hits_show_path_lines_symbol_language_and_marked_words(tab: Tab) -> None:
    tab.search("renew session")
    hit = tab.page.locator(".hit").filter(has_text="session.py").first
    expect(hit.get_by_role("button", name="src/session.py")).to_be_visible()
    expect(hit.locator(".badges")).to_contain_text("python")
    expect(hit.locator(".badges")).to_contain_text("shop")
    expect(hit.locator(".symbol")).to_contain_text("Session")
    assert "renew" in hit.locator("mark").all_inner_texts()
    expect(hit.locator(".no").first).to_have_text("1")
    expect(tab.page.get_by_role("status").filter(has_text=re.compile(r"hits? in \d+ ms"))).to_be_visible()
    expect(hit.locator(".scores dl")).to_be_hidden()
    hit.locator(".scores summary").click()
    expect(hit.locator(".scores dl")).to_contain_text("fusion")
    root = str(tab.page.evaluate("document.querySelector('#hits > li').hit.root"))
    link = hit.get_by_role("link", name="Open in VS Code").get_attribute("href")
    assert link == f"vscode://file{root}/src/session.py:1"


def test_the_last_of_many_keys_wins_and_older_requests_are_dropped(tab: Tab) -> None:
    asked: list[str] = []

    def hold_the_first(route: Route) -> None:
        asked.append(json.loads(route.request.post_data or "")["query"])
        if asked[-1] != "cart":
            route.continue_()

    tab.page.route("**/search", hold_the_first)
    box = tab.page.get_by_role("searchbox")
    with tab.page.expect_request("**/search"):
        box.press_sequentially("cart")
    with tab.page.expect_event("requestfailed") as dropped:
        box.fill("renew session")
    assert json.loads(dropped.value.post_data or "")["query"] == "cart"
    expect(tab.page.locator("#hits")).to_contain_text("session.py")
    assert asked == ["cart", "renew session"]


def test_the_address_holds_the_question_and_back_and_forward_work(tab: Tab, daemon: Daemon) -> None:
    tab.search("cart")
    tab.page.get_by_role("searchbox").press("Enter")
    tab.search("session")
    tab.page.get_by_label("Language").fill("python")
    expect(tab.page.locator(".hit")).to_have_count(1)
    assert "lang=python" in tab.page.url
    shared = tab.page.url
    tab.page.go_back()
    expect(tab.page.get_by_label("Language")).to_have_value("")
    expect(tab.page.get_by_role("searchbox")).to_have_value("session")
    tab.page.go_back()
    expect(tab.page.get_by_role("searchbox")).to_have_value("cart")
    expect(tab.page.locator("#hits")).to_contain_text("cart.js")
    tab.page.go_forward()
    expect(tab.page.get_by_role("searchbox")).to_have_value("session")
    tab.go(shared.removeprefix(f"{daemon.url}/"))
    expect(tab.page.get_by_label("Language")).to_have_value("python")
    expect(tab.page.locator(".hit")).to_have_count(1)
    tab.page.get_by_role("button", name="Clear filters").click()
    expect(tab.page.locator("#hits")).to_contain_text("guide.md")


def test_filters_narrow_by_repository_path_and_mode(tab: Tab, daemon: Daemon) -> None:
    tab.search("session")
    expect(tab.page.locator("#hits")).to_contain_text("guide.md")
    tab.page.get_by_label("Path").fill("src/**")
    expect(tab.page.locator(".hit")).to_have_count(1)
    tab.page.get_by_label("Path").fill("")
    tab.page.locator("#in-repository").select_option(label="shop")
    tab.page.get_by_label("Mode").select_option("text")
    tab.page.get_by_label("Freshness").select_option("fresh")
    expect(tab.page.locator("#hits")).to_contain_text("guide.md")
    assert re.search(r"repo=[0-9a-f-]{36}&mode=text&consistency=fresh", tab.page.url)
    tab.allowed.append("404")
    tab.go("#/search?q=session&repo=00000000-0000-4000-8000-000000000000")
    expect(tab.page.get_by_role("alert")).to_contain_text("no repository")


def test_a_hit_opens_in_its_file_and_more_lines_can_be_had(tab: Tab) -> None:
    tab.search("step_100")
    tab.page.locator(".path").first.click()
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.locator("#code-title")).to_contain_text("long.py")
    expect(dialog.locator(".hit-line").filter(has_text="def step_100")).to_be_in_viewport()
    first = int(dialog.locator(".no").first.inner_text())
    assert first > 1
    dialog.get_by_role("button", name="Earlier lines").click()
    expect(dialog.locator(".no").first).not_to_have_text(str(first))
    numbers = [int(each) for each in dialog.locator(".no").all_inner_texts()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    tab.page.go_back()
    expect(dialog).to_be_hidden()
    tab.page.go_forward()
    expect(dialog.locator("#code-title")).to_contain_text("long.py")
    tab.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(tab.page).not_to_have_url(re.compile("lines="))  # written once the dialog tells that it closed


def test_f097_markup_in_files_and_names_is_shown_and_never_run(tab: Tab, daemon: Daemon) -> None:
    evil = '<img src=x onerror="window.ran=1"><script>window.ran=2</script> needle97 '
    root = daemon.root / '<b onclick="window.ran=3">evil<'
    root.mkdir()
    name = f"<svg onload=window.ran=4>{OVERRIDE}txt.py"
    (root / name).write_text(f'{evil}{OVERRIDE} \x1b[31m javascript:alert(1)\n"""</pre></script>"""\n')
    daemon.index(root)
    tab.search("needle97")
    hit = tab.page.locator(".hit").first
    expect(hit.locator(".code")).to_contain_text('<img src=x onerror="window.ran=1"><script>window.ran=2</script>')
    expect(hit.locator(".odd").filter(has_text="U+202E").first).to_be_visible()
    expect(hit.locator(".odd").filter(has_text="␛").first).to_be_visible()
    expect(hit.locator(".path")).to_contain_text("<svg onload=window.ran=4>")
    assert OVERRIDE not in tab.page.evaluate("document.body.textContent")
    hit.locator(".path").click()
    expect(tab.page.get_by_role("dialog").locator(".code")).to_contain_text("</pre></script>")
    tab.page.keyboard.press("Escape")
    for view in ("Repositories", "Jobs", "Search"):
        tab.page.get_by_role("link", name=re.compile(f"^{view}")).first.click()
        expect(tab.page.locator("main")).to_contain_text("<b onclick=")
    assert tab.page.evaluate("window.ran") is None
    assert tab.page.locator("main img, main svg[onload], main b, main script").count() == 0


def test_a_search_that_is_not_whole_says_so(tab: Tab, daemon: Daemon) -> None:
    daemon.do(lambda owner: owner.flags.set("hybrid_search", False))
    try:
        tab.search("session")
        expect(tab.page.get_by_label("About this answer")).to_contain_text("hybrid_search")
    finally:
        daemon.do(lambda owner: owner.flags.unset("hybrid_search"))


def test_a_hit_whose_file_has_changed_is_called_stale(tab: Tab, daemon: Daemon) -> None:
    root = lay(daemon.root / "moving", thing="def wobble97(): ...\n")
    daemon.index(root)
    (root / "thing_0.py").write_text("def steady(): ...\n# longer than it was\n")
    tab.search("wobble97")
    expect(tab.page.locator(".hit").first.get_by_text("stale")).to_be_visible()


def test_a_repository_is_added_indexed_searched_and_forgotten(tab: Tab, daemon: Daemon) -> None:
    root = lay(daemon.root / "added", a="def quokka(): ...\n")
    tab.page.get_by_role("link", name="Repositories").click()
    tab.page.get_by_label("Directory").fill(str(root))
    tab.page.get_by_role("button", name="Add and index").click()
    tab.page.get_by_role("link", name="Watch the job").click()
    expect(tab.page.get_by_role("heading", name="added")).to_be_visible()
    tab.page.get_by_role("link", name="Repositories").click()
    card = tab.page.get_by_role("listitem").filter(has_text=str(root))
    expect(card).to_contain_text("succeeded")
    tab.page.get_by_role("link", name="Search", exact=True).click()
    tab.search("quokka")
    expect(tab.page.locator("#hits")).to_contain_text("a_0.py")
    tab.page.get_by_role("link", name="Repositories").click()
    card.get_by_role("button", name="Re-index added").click()
    expect(tab.page.locator("#toast")).to_contain_text("Indexing added")
    card.get_by_role("button", name="Forget added").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(card).to_be_visible()
    card.get_by_role("button", name="Forget added").click()
    tab.page.get_by_role("dialog").get_by_role("button", name="Forget it").click()
    expect(card).to_have_count(0)
    assert (root / "a_0.py").exists()


def test_a_root_that_is_not_allowed_is_refused_with_the_reason(tab: Tab) -> None:
    tab.allowed += ["403"]
    tab.go("#/repositories")
    tab.page.get_by_label("Directory").fill("/usr")
    tab.page.get_by_role("button", name="Add and index").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("/usr")


def held(root: Path) -> Callable[[Owner], Coroutine[Any, Any, str]]:
    """Index a tree, but have the job begin paused; gives its id."""

    async def work(owner: Owner) -> str:
        repository = await owner.register(root)
        job = await owner.service.submit(repository)
        await owner.service.pause(job)
        return job

    return work


def test_a_job_is_watched_paused_resumed_and_its_files_are_listed(tab: Tab, daemon: Daemon) -> None:
    root = lay(daemon.root / "held", a="x = 1\n", b="y = 2\n")
    (root / "picture.bin").write_bytes(b"\0\1" * 99)
    tab.go("#/jobs")
    with tab.page.expect_request("**/events"):
        daemon.do(held(root))
    card = tab.page.get_by_role("listitem").filter(has=tab.page.get_by_role("heading", name="held"))
    expect(card).to_contain_text("paused")
    expect(card.get_by_role("progressbar", name="Files read")).to_be_visible()
    expect(card.get_by_role("progressbar", name="Searchable chunks")).to_be_visible()
    expect(card.get_by_role("button", name="Pause held")).to_be_hidden()
    card.get_by_role("button", name="Resume held").click()
    row = tab.page.get_by_role("row").filter(has_text="held")
    expect(row).to_contain_text("succeeded")
    expect(card).to_have_count(0)
    expect(tab.page.locator("#jobs-said")).to_contain_text("held: succeeded, 2 indexed")
    row.get_by_role("link").click()
    expect(tab.page.locator("#job-detail")).to_contain_text("2 indexed")
    expect(tab.page.get_by_label("Files that were")).to_have_value("skipped")
    expect(tab.page.get_by_role("row").filter(has_text="picture.bin")).to_contain_text("binary")
    tab.page.get_by_label("Files that were").select_option("failed")
    expect(tab.page.locator("#job-detail")).to_contain_text("No file is noted as failed")
    tab.page.go_back()
    expect(row).to_be_visible()


def test_a_job_is_cancelled(tab: Tab, daemon: Daemon) -> None:
    daemon.do(held(lay(daemon.root / "unwanted", a="x = 1\n")))
    tab.go("#/jobs")
    tab.page.get_by_role("button", name="Cancel unwanted").click()
    expect(tab.page.get_by_role("row").filter(has_text="unwanted")).to_contain_text("cancelled")


def test_a_flag_is_switched_and_follows_the_settings_again(tab: Tab, daemon: Daemon) -> None:
    tab.go("#/service")
    toggle = tab.page.get_by_role("switch", name="enable_parallel")
    expect(toggle).to_have_attribute("aria-checked", "false")
    toggle.click()
    expect(toggle).to_have_attribute("aria-checked", "true")
    row = tab.page.get_by_role("listitem").filter(has=toggle)
    expect(row).to_contain_text(re.compile(r"Set while running, changed .* by first"))
    assert daemon.owner.flags.enable_parallel is True
    row.get_by_role("button", name="Let enable_parallel follow the settings").click()
    expect(toggle).to_have_attribute("aria-checked", "false")
    expect(row).to_contain_text("Follows the settings")
    assert daemon.owner.flags.overrides == {}
    facts = tab.page.locator("#facts")
    for name in ("Running for", "Workers", "Memory", "Waiting", "Data directory"):
        expect(facts).to_contain_text(name)
    expect(facts.get_by_role("meter")).to_have_count(2)


def test_the_whole_way_works_by_keyboard_alone(tab: Tab) -> None:
    keys = tab.page.keyboard
    keys.type("session")
    expect(tab.page.locator(".hit").nth(1)).to_be_visible()
    keys.press("ArrowDown")
    expect(tab.page.locator(".hit").nth(0)).to_be_focused()
    keys.press("j")
    expect(tab.page.locator(".hit").nth(1)).to_be_focused()
    keys.press("k")
    expect(tab.page.locator(".hit").nth(0)).to_be_focused()
    keys.press("Enter")
    dialog = tab.page.get_by_role("dialog")
    expect(dialog.locator(".hit-line").first).to_be_visible()
    keys.press("Escape")
    expect(dialog).to_be_hidden()
    expect(tab.page.locator(".hit").nth(0)).to_be_focused()
    keys.press("k")
    expect(tab.page.get_by_role("searchbox")).to_be_focused()
    keys.press("ArrowDown")
    keys.press("/")
    expect(tab.page.get_by_role("searchbox")).to_be_focused()
    keys.type("cart/?")
    expect(tab.page.get_by_role("searchbox")).to_have_value("cart/?")
    keys.press("ArrowDown")
    keys.press("?")
    expect(tab.page.get_by_role("dialog", name="Keys")).to_be_visible()
    keys.press("Escape")
    opened = tab.page.evaluate(
        """() => new Promise((resolve) => {
            const caught = (event) => { event.preventDefault(); resolve(event.target.href); };
            addEventListener("click", caught, { once: true });
            document.querySelector(".hit").focus();
            dispatchEvent(new KeyboardEvent("keydown", { key: "o" }));
        })"""
    )
    assert opened.startswith("vscode://file/")


def test_the_editor_is_chosen_and_kept(tab: Tab) -> None:
    tab.search("cart")
    tab.page.get_by_role("button", name="Keys and settings").click()
    tab.page.get_by_label("Editor").select_option("zed")
    tab.page.get_by_label("Editor").select_option("custom")
    tab.page.get_by_label("Link").fill("javascript:alert('{path}')")
    expect(tab.page.locator("#template-hint")).to_contain_text("cannot be a link")
    tab.page.get_by_label("Link").fill("subl://open?url=file://{path}&line={line}")
    tab.page.get_by_role("button", name="Close").click()
    link = re.compile(r"^subl://open\?url=file:///.+&line=1$")
    expect(tab.page.locator(".editor").first).to_have_attribute("href", link)
    tab.page.reload()
    expect(tab.page.locator(".editor").first).to_have_attribute("href", link)


def test_a_lost_service_is_noticed_and_comes_back_by_itself(tab: Tab) -> None:
    tab.allowed += ["ERR_FAILED"]
    expect(tab.page.locator("#welcome")).to_contain_text("shop")
    tab.page.route("**/*", lambda route: route.abort())
    tab.page.get_by_role("searchbox").fill("session")
    expect(tab.page.locator("#banner")).to_contain_text("does not answer")
    tab.page.unroute("**/*")
    # Sooner than anything else in the page would ask.
    expect(tab.page.locator("#banner")).to_be_hidden(timeout=8000)
    expect(tab.page.locator("#hits")).to_contain_text("session.py")


def test_the_colours_follow_the_system_until_they_are_chosen(open_tab: OpenTab) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = open_tab(color_scheme="dark").page
    light = open_tab(color_scheme="light").page
    assert dark.evaluate(ground) != light.evaluate(ground)
    theme = light.get_by_role("button", name="Colours: as the system")
    theme.click()
    light.get_by_role("button", name="Colours: light").click()
    expect(light.get_by_role("button", name="Colours: dark")).to_be_visible()
    assert light.evaluate(ground) == dark.evaluate(ground)
    light.reload()
    assert light.evaluate(ground) == dark.evaluate(ground)
