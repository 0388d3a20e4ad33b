// One hit of a search, as an element.

import { editorAnchor } from "./editor.js";
import { el } from "./dom.js";
import { score } from "./format.js";
import { markedLine, shown, shownText } from "./visible.js";

/** A line of code with its number; `content` are its nodes. */
export function codeLine(number, content, name = "line") {
  return el(
    "span",
    { class: name },
    el("span", { class: "no" }, String(number)),
    el("span", { class: "text" }, content),
    "\n",
  );
}

/** The line to go to: a hit's first, unless what was found in it is so far below that the snippet begins later. */
export function lineOf(hit) {
  if (!hit.snippet.length || hit.snippet[0].line === hit.start_line) return hit.start_line;
  return hit.snippet.find((line) => line.matches.length)?.line ?? hit.start_line;
}

/** A list item that shows a hit; `open(hit)` is called by its title. */
export function hitItem(hit, { nameOf, open }) {
  const title = `${shownText(hit.path)}, lines ${hit.start_line} to ${hit.end_line}`;
  const item = el(
    "li",
    {},
    el(
      "article",
      { class: "hit", tabindex: "-1", "aria-label": title },
      el(
        "header",
        {},
        el("h2", {}, el("button", { type: "button", class: "path", onclick: () => open(hit) }, pathNodes(hit.path))),
        el("span", { class: "lines" }, `${hit.start_line}–${hit.end_line}`),
        symbolNodes(hit),
        badges(hit, nameOf(hit.repository) || hit.root),
        el("span", { class: "end" }, scores(hit), editorAnchor(hit, lineOf(hit))),
      ),
      snippet(hit),
      alsoAt(hit),
    ),
  );
  item.hit = hit;
  return item;
}

function pathNodes(path) {
  const cut = path.lastIndexOf("/") + 1;
  return [el("span", { class: "directory" }, shown(path.slice(0, cut))), el("strong", {}, shown(path.slice(cut)))];
}

function symbolNodes(hit) {
  if (!hit.symbol) return null;
  const scope = hit.scope ? `${hit.scope} › ` : "";
  return el(
    "span",
    { class: "symbol", title: shownText(hit.signature) },
    el("bdi", {}, shown(scope + hit.symbol)),
    hit.kind ? el("span", { class: "kind" }, shown(hit.kind)) : null,
  );
}

function badges(hit, repository) {
  const stale = el("span", { class: "badge warn", title: "The file has changed since this was indexed" }, "stale");
  return el(
    "span",
    { class: "badges" },
    hit.language ? el("span", { class: "badge" }, shown(hit.language)) : null,
    el("span", { class: "badge" }, el("bdi", {}, shown(repository))),
    hit.stale ? stale : null,
  );
}

function snippet(hit) {
  return el(
    "pre",
    { class: "code" },
    hit.snippet.map((line) => codeLine(line.line, markedLine(line.text, line.matches))),
  );
}

function alsoAt(hit) {
  if (!hit.also_at?.length) return null;
  const paths = hit.also_at.map((path) => el("li", {}, shown(path)));
  return el(
    "details",
    { class: "also" },
    el("summary", {}, `The same at ${hit.also_at.length} more`),
    el("ul", {}, paths),
  );
}

function scores(hit) {
  const rows = [
    ...Object.entries(hit.scores.legs).map(([leg, place]) => [leg, `rank ${place.rank}, score ${score(place.score)}`]),
    ["fusion", score(hit.scores.fusion)],
    ...Object.entries(hit.scores.factors).map(([reason, factor]) => [reason, `× ${score(factor)}`]),
    ["total", score(hit.score)],
  ];
  return el(
    "details",
    { class: "scores" },
    el("summary", { "aria-label": `Score ${score(hit.score)}, show its parts` }, score(hit.score)),
    el(
      "dl",
      {},
      rows.map(([name, value]) => [el("dt", {}, shown(name)), el("dd", {}, value)]),
    ),
  );
}
