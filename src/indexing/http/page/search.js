// The search view: results as one types, the question in the address, hits by keyboard.

import { ask, inWords, isShown } from "./api.js";
import { go, here, paramsOf, questionOf, write } from "./address.js";
import { byId, el, say, setText } from "./dom.js";
import { filters, offerRepositories, onFilters, showClear, showFilters } from "./filters.js";
import { ago, count, plural } from "./format.js";
import { hitItem, lineOf } from "./hit.js";
import { isLive } from "./job.js";
import { showRunning } from "./running.js";
import { shown, shownText } from "./visible.js";

const DEBOUNCE_MS = 120;
const SNIPPET_LINES = 8;
const WAIT_MS = 5000;
const BUSY_AFTER_MS = 200;
const REPOSITORIES_EVERY_MS = 15000;
const MOST_HITS = 200;

const box = byId("query");
const list = byId("hits");
const section = byId("view-search");

let names = new Map();
let repositories = null;
let timer = 0;
let running = new AbortController();
let asked = "";
let settled = true;
let poll = 0;

export const view = {
  name: "search",
  show(params) {
    const question = questionOf(params);
    if (document.activeElement !== box || box.value.trim() !== question.query) box.value = question.query;
    showFilters(question);
    document.title = question.query ? `${shownText(question.query)} · codetrove` : "codetrove";
    settled = true;
    search(question);
  },
  enter() {
    box.focus({ preventScroll: true });
    loadRepositories();
    clearInterval(poll);
    poll = setInterval(() => document.hidden || loadRepositories(), REPOSITORIES_EVERY_MS);
  },
  leave() {
    clearInterval(poll);
    clearTimeout(timer);
    running.abort();
  },
  again() {
    asked = "";
    loadRepositories();
    search(questionOf(here().params));
  },
};

/** Draw the hits again, as after a change of the editor. */
export function redraw() {
  for (const item of [...list.children]) item.replaceWith(itemOf(item.hit));
}

/** Focus the box and select what is in it. */
export function focusBox() {
  box.focus();
  box.select();
}

/** Move the focus by hits: 1 down, -1 up; above the first is the box. */
export function move(step) {
  const hits = [...list.querySelectorAll(".hit")];
  const at = hits.findIndex((hit) => hit.contains(document.activeElement));
  if (!hits.length || (step < 0 && at < 0)) return;
  if (at + step < 0) {
    box.focus();
    return;
  }
  const next = hits[Math.min(at + step, hits.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

/** The hit in which the focus is, or undefined. */
export const current = () => document.activeElement?.closest?.("#hits > li")?.hit;

/** Show a hit in its file. */
export function open(hit) {
  settle();
  const params = new URLSearchParams(here().params);
  params.set("in", hit.repository);
  params.set(hit.path_b64 ? "file64" : "file", hit.path_b64 ?? hit.path);
  params.set("lines", `${hit.start_line}-${hit.end_line}`);
  params.set("at", String(lineOf(hit)));
  go("search", params);
}

box.addEventListener("input", () => askSoon());
box.addEventListener("blur", () => settle());
onFilters(() => askSoon());
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(timer);
  change();
  settle();
});
byId("more-hits").addEventListener("click", () => {
  const question = questionOf(here().params);
  write("search", paramsOf({ ...question, k: Math.min(question.k * 2, MOST_HITS) }), true);
  search(questionOf(here().params));
});

function askSoon() {
  clearTimeout(timer);
  timer = setTimeout(change, DEBOUNCE_MS);
}

/** The next change begins a new entry of the history. */
function settle() {
  settled = true;
}

function change() {
  const before = paramsOf(questionOf(here().params)).toString();
  const question = { ...filters(), query: box.value.trim(), k: 20 };
  const params = paramsOf(question);
  if (before === params.toString()) return;
  // One entry of the history for a query, not one for each key.
  write("search", params, !settled);
  settled = false;
  document.title = question.query ? `${shownText(question.query)} · codetrove` : "codetrove";
  search(question);
}

async function search(question) {
  showClear(question);
  const key = paramsOf(question).toString();
  if (key === asked) return;
  running.abort();
  asked = key;
  if (!question.query) {
    clear();
    return;
  }
  const mine = new AbortController();
  running = mine;
  const busy = setTimeout(() => section.setAttribute("aria-busy", "true"), BUSY_AFTER_MS);
  try {
    const body = { ...question, snippet_lines: SNIPPET_LINES, wait_ms: WAIT_MS };
    const answer = await ask("POST", "/search", { body, signal: mine.signal });
    if (!mine.signal.aborted) show(answer, question);
  } catch (error) {
    if (mine === running) asked = "";
    if (error.name !== "AbortError") fail(error);
  } finally {
    clearTimeout(busy);
    if (mine === running) section.removeAttribute("aria-busy");
  }
}

function show(answer, question) {
  say(byId("welcome"));
  say(byId("search-problem"));
  // Fewer hits than before would otherwise leave the focus, and the keyboard's place, nowhere.
  const held = list.contains(document.activeElement);
  const at = held ? [...list.children].findIndex((item) => item.contains(document.activeElement)) : -1;
  list.replaceChildren(...answer.hits.map(itemOf));
  if (held) (list.children[Math.max(0, Math.min(at, list.children.length - 1))]?.firstChild ?? box).focus();
  const took = answer.took_ms === undefined ? "" : ` in ${Math.max(1, Math.round(answer.took_ms))} ms`;
  const more = answer.hits.length === question.k && question.k < MOST_HITS;
  const number = answer.hits.length ? plural(answer.hits.length, more ? "best hit" : "hit") : "No hits";
  setText(byId("found"), `${number}${took}`);
  byId("more-hits").hidden = !more;
  const notices = noticesOf(answer).map((notice) => el("li", {}, notice));
  say(byId("search-notices"), ...notices);
  if (!answer.hits.length) say(byId("welcome"), nothing(question));
}

function noticesOf(answer) {
  const missing = []
    .concat(answer.degraded || [])
    .map((reason) => ["Not all of the search took part: ", ...shown(reason)]);
  // 0 files: there are some, and nobody knows yet how many.
  const pending = (answer.pending ?? []).map((each) => [
    `${each.files ? plural(each.files, "changed file") : "Changes"} not searchable yet in `,
    ...shown(names.get(each.repository) ?? each.repository),
  ]);
  const cut =
    answer.complete === false ? [["The search stopped at a bound: there may be more hits, or better ones."]] : [];
  return [...missing, ...pending, ...cut];
}

function nothing(question) {
  const narrowed = question.repositories.length + question.languages.length + question.paths.length > 0;
  const hint = narrowed ? "Clear the filters to search everything." : "Try fewer words, or a part of a name.";
  return el("p", { class: "hint" }, hint);
}

function fail(error) {
  clear();
  say(byId("welcome"));
  say(byId("search-problem"), isShown(error) ? "" : inWords(error));
}

function clear() {
  list.replaceChildren();
  setText(byId("found"), "");
  say(byId("search-notices"));
  say(byId("search-problem"));
  byId("more-hits").hidden = true;
  section.removeAttribute("aria-busy");
  welcome();
}

function itemOf(hit) {
  return hitItem(hit, { nameOf: (uuid) => names.get(uuid), open });
}

async function loadRepositories() {
  try {
    ({ repositories } = await ask("GET", "/repositories"));
  } catch (error) {
    if (!isShown(error)) say(byId("search-problem"), inWords(error));
    return;
  }
  names = new Map(repositories.map((each) => [each.uuid, each.name || each.root]));
  offerRepositories(repositories);
  showRunning(repositories.filter((each) => each.job && isLive(each.job)).length);
  if (!box.value.trim()) welcome();
}

function welcome() {
  if (repositories === null) return;
  if (!repositories.length) {
    say(
      byId("welcome"),
      el(
        "p",
        { class: "empty" },
        "Nothing is indexed yet. ",
        el("a", { href: "#/repositories" }, "Add a repository"),
        " to begin.",
      ),
    );
    return;
  }
  const files = repositories.reduce((sum, each) => sum + (each.files ?? 0), 0);
  const chunks = repositories.reduce((sum, each) => sum + (each.chunks ?? 0), 0);
  say(
    byId("welcome"),
    el(
      "p",
      { class: "line" },
      `${plural(repositories.length, "repository", "repositories")}, ${count(files)} files, ${count(chunks)} chunks`,
    ),
    el(
      "ul",
      { class: "known" },
      repositories.map((each) => el("li", {}, el("bdi", {}, shown(each.name || each.root)), stateOf(each))),
    ),
    el(
      "p",
      { class: "hint keyed" },
      keyed("/", "search"),
      keyed("j k", "move"),
      keyed("Enter", "open"),
      keyed("o", "editor"),
      keyed("?", "all keys"),
    ),
  );
}

function stateOf(repository) {
  const busy = repository.job && isLive(repository.job);
  const text = busy
    ? `${repository.job.state} now`
    : repository.scanned_at
      ? `up to date ${ago(repository.scanned_at)}`
      : "never indexed";
  return el("span", { class: "dim" }, ` ${text}`);
}

function keyed(key, does) {
  return el("span", {}, el("kbd", {}, key), ` ${does} `);
}
