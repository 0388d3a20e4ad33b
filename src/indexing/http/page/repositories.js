// The repositories view: what is indexed, how fresh it is, and adding, indexing again and forgetting.

import { ask, inWords, isShown } from "./api.js";
import { fragmentOf } from "./address.js";
import { byId, confirmed, el, say, setText, toast } from "./dom.js";
import { ago, count, moment, plural, size } from "./format.js";
import { isLive, stateBadge } from "./job.js";
import { polledView } from "./polled.js";
import { showRunning } from "./running.js";
import { shown, shownText } from "./visible.js";

const EVERY_MS = 3000;
const WATCHING = {
  events: "follows changes",
  scan: "looks for changes now and then",
  off: "does not look for changes",
};

const list = byId("repository-list");
const problem = byId("repositories-problem");
let drawn = "";

export const view = polledView("repositories", "Repositories", load, EVERY_MS);

byId("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const root = byId("add-root").value.trim();
  if (!root) return;
  attempt(async () => {
    const { repository, job } = await ask("POST", "/repositories", { body: { root, index: true } });
    byId("add-root").value = "";
    toast(
      "Added ",
      el("bdi", {}, shown(repository.root)),
      job ? ". " : "",
      job ? jobLink(job.id, "Watch the job") : null,
    );
  });
});

async function load() {
  try {
    const { repositories } = await ask("GET", "/repositories");
    draw(repositories);
    showRunning(repositories.filter((each) => each.job && isLive(each.job)).length);
  } catch (error) {
    if (!isShown(error)) say(problem, inWords(error));
  }
}

async function attempt(action) {
  say(problem);
  try {
    await action();
    await load();
  } catch (error) {
    if (!isShown(error)) say(problem, inWords(error));
  }
}

function draw(repositories) {
  const key = JSON.stringify([repositories, Math.floor(Date.now() / 30000)]);
  if (key === drawn) return;
  drawn = key;
  // The cards are made anew; whoever was on one of their buttons stays on it.
  const focused = list.contains(document.activeElement) ? document.activeElement.id : "";
  list.replaceChildren(...repositories.map(card));
  if (focused) byId(focused)?.focus({ preventScroll: true });
  const files = repositories.reduce((sum, each) => sum + (each.files ?? 0), 0);
  const empty = "Nothing is indexed yet: add a directory of source code above.";
  setText(
    byId("repositories-line"),
    repositories.length ? `${plural(repositories.length, "repository", "repositories")}, ${count(files)} files` : empty,
  );
}

function card(repository) {
  const { uuid, root } = repository;
  const name = repository.name || root;
  const button = (id, label, action, kind = "") =>
    el(
      "button",
      {
        type: "button",
        id: `${id}-${uuid}`,
        class: kind,
        "aria-label": `${label} ${shownText(name)}`,
        onclick: action,
      },
      label,
    );
  return el(
    "li",
    { class: "card" },
    el(
      "header",
      {},
      el("h2", {}, el("a", { href: fragmentOf("search", { repo: uuid }) }, el("bdi", {}, shown(name)))),
      repository.job
        ? el(
            "a",
            { href: fragmentOf("jobs", { job: repository.job.id }), class: "plain" },
            stateBadge(repository.job.state),
          )
        : null,
      el(
        "div",
        { class: "actions" },
        button("index", "Re-index", () => reindex(repository)),
        button("forget", "Forget", () => forget(repository), "danger"),
      ),
    ),
    el("p", { class: "mono dim" }, el("bdi", {}, shown(root))),
    el("p", { class: "line" }, facts(repository)),
    problems(repository),
  );
}

function facts(repository) {
  const watching = repository.watching;
  const waiting = watching?.dirty ? `, ${plural(watching.dirty, "change")} waiting` : "";
  const busy = repository.job && isLive(repository.job) ? repository.job.reason : "";
  return [
    `${plural(repository.files ?? 0, "file")}, ${size(repository.source_bytes)}`,
    plural(repository.chunks ?? 0, "chunk"),
    el(
      "span",
      { title: moment(repository.scanned_at) },
      repository.scanned_at ? `scanned ${ago(repository.scanned_at)}` : "never scanned",
    ),
    watching ? `${WATCHING[watching.mode] ?? watching.mode}${waiting}` : null,
    busy ? el("span", {}, shown(busy)) : null,
  ]
    .filter(Boolean)
    .flatMap((fact, at) => (at ? [" · ", fact] : [fact]));
}

function problems(repository) {
  const found = [...(repository.problems ?? []), repository.watching?.problem].filter(Boolean);
  return found.length
    ? el(
        "ul",
        { class: "notices", "aria-label": "Problems" },
        found.map((each) => el("li", {}, shown(each))),
      )
    : null;
}

function reindex(repository) {
  attempt(async () => {
    const job = await ask("POST", "/index", { body: { repository: repository.uuid } });
    toast(
      "Indexing ",
      el("bdi", {}, shown(repository.name || repository.root)),
      ". ",
      jobLink(job.id, "Watch the job"),
    );
  });
}

async function forget(repository) {
  const text = "It is taken out of the index and found no more. The files themselves stay as they are.";
  const title = `Forget ${shownText(repository.name || repository.root)}?`;
  if (!(await confirmed(title, text, "Forget it"))) return;
  attempt(async () => {
    await ask("DELETE", `/repositories/${encodeURIComponent(repository.uuid)}`);
    toast("Forgot ", el("bdi", {}, shown(repository.name || repository.root)), ".");
    byId("repositories-title").focus();
  });
}

function jobLink(id, text) {
  return el("a", { href: fragmentOf("jobs", { job: id }) }, text);
}
