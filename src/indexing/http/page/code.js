// The dialog that shows a hit in its file, with the code around it.

import { ask, inWords } from "./api.js";
import { go, here } from "./address.js";
import { byId, el, say } from "./dom.js";
import { editorAnchor } from "./editor.js";
import { codeLine } from "./hit.js";
import { shown, shownText } from "./visible.js";

const AROUND = 60;
const MORE = 200;

const dialog = byId("code");
const lines = byId("code-lines");

let file = null;
let rootOf = () => "";
let turn = 0;

/** Wire the dialog; `findRoot(uuid)` resolves to the root of a repository. */
export function codeDialog(findRoot) {
  rootOf = findRoot;
  dialog.addEventListener("close", () => {
    file = null;
    if (here().params.has("lines")) leave();
  });
  byId("code-before").addEventListener("click", () => extend(file.from - MORE, file.from - 1));
  byId("code-after").addEventListener("click", () => extend(file.to + 1, file.to + MORE));
}

/** Show what the address names, or close. */
export function showCode(params) {
  const [from, to] = (params.get("lines") ?? "").split("-").map(Number);
  const path = params.get("file");
  const exact = params.get("file64");
  if (!(from >= 1) || !(path || exact) || !params.get("in")) {
    if (dialog.open) dialog.close();
    return;
  }
  const at = Math.max(from, Number(params.get("at")) || from);
  load({ repository: params.get("in"), path, exact, at, hit: [from, Math.max(from, to || from)] });
}

/** Whether the dialog is open. */
export const isOpen = () => dialog.open;

/** Follow the editor link of what is shown. */
export const toEditor = () => dialog.querySelector("a.editor")?.click();

async function load(wanted) {
  const mine = (turn += 1);
  file = wanted;
  byId("code-title").replaceChildren(...shown(wanted.path ?? "…"));
  byId("code-tools").replaceChildren(closeButton());
  lines.replaceChildren();
  say(byId("code-notice"));
  byId("code-before").hidden = byId("code-after").hidden = true;
  if (!dialog.open) dialog.showModal();
  try {
    const answer = await fetchLines(Math.max(1, wanted.hit[0] - AROUND), wanted.hit[1] + AROUND);
    const root = await rootOf(wanted.repository);
    if (mine === turn && file === wanted) begin(answer, root);
  } catch (error) {
    if (mine === turn && file === wanted) say(byId("code-notice"), inWords(error));
  }
}

function begin(answer, root) {
  const [from, to] = file.hit;
  byId("code-title").replaceChildren(...shown(answer.path), el("span", { class: "dim" }, ` ${from}–${to}`));
  byId("code-title").title = shownText(`${root}/${answer.path}`);
  const link = editorAnchor({ root, path: answer.path, path_b64: answer.path_b64 }, file.at);
  byId("code-tools").replaceChildren(...[link, closeButton()].filter(Boolean));
  const stale = "The file has changed since this was indexed; this is what was indexed.";
  say(byId("code-notice"), answer.stale ? stale : "");
  file.from = answer.start_line;
  file.to = answer.end_line;
  lines.replaceChildren(...linesOf(answer));
  showEnds(answer.lines_total);
  lines.children[file.at - file.from]?.scrollIntoView({ block: "center" });
  byId("code-scroll").focus({ preventScroll: true });
}

async function extend(from, to) {
  const wanted = file;
  try {
    const answer = await fetchLines(Math.max(1, from), to);
    if (file !== wanted) return;
    const first = lines.firstChild;
    const offset = first?.offsetTop ?? 0;
    const before = answer.start_line < file.from;
    lines[before ? "prepend" : "append"](...linesOf(answer));
    if (before) {
      file.from = answer.start_line;
      byId("code-scroll").scrollTop += (first?.offsetTop ?? 0) - offset;
    } else {
      file.to = answer.end_line;
    }
    showEnds(answer.lines_total);
  } catch (error) {
    say(byId("code-notice"), inWords(error));
  }
}

function fetchLines(start, end) {
  const query = new URLSearchParams({ start, end });
  if (file.exact) query.set("path_b64", file.exact);
  else query.set("path", file.path);
  return ask("GET", `/repositories/${encodeURIComponent(file.repository)}/text?${query}`);
}

function linesOf(answer) {
  const texts = answer.text.split(/\r\n|\n|\r/);
  // A final line break ends the last line, it does not begin another.
  const expected = answer.end_line - answer.start_line + 1;
  return texts.slice(0, Math.max(expected, 0)).map((text, at) => {
    const number = answer.start_line + at;
    const isHit = number >= file.hit[0] && number <= file.hit[1];
    return codeLine(number, shown(text), isHit ? "line hit-line" : "line");
  });
}

function showEnds(total) {
  byId("code-before").hidden = file.from <= 1;
  byId("code-after").hidden = file.to >= total;
}

function closeButton() {
  return el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close");
}

/** Take the file out of the address. */
function leave() {
  const { view, params } = here();
  for (const name of ["in", "file", "file64", "lines", "at"]) params.delete(name);
  go(view, params, { replace: true });
}
