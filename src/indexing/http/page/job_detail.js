// One job with the outcome of each of its files, page by page.

import { ask, inWords, isShown } from "./api.js";
import { el, say } from "./dom.js";
import { ago, between, count, duration, moment, plural } from "./format.js";
import { doing, isLive, stateBadge } from "./job.js";
import { shown } from "./visible.js";

const PAGE_FILES = 200;
const OUTCOMES = ["failed", "skipped", "indexed", "removed"];

/** An element that shows a job: `{element, update(job)}`; it loads outcomes by itself. */
export function jobDetail(job, nameOf) {
  const facts = el("dl", { class: "facts" });
  const state = el("span");
  const warnings = el("ul", { class: "notices", "aria-label": "Warnings", hidden: true });
  const files = outcomes(job);
  let wasLive = isLive(job);
  const update = (now) => {
    if (wasLive && !isLive(now)) files.load(true);
    wasLive = isLive(now);
    state.replaceChildren(stateBadge(now.state));
    facts.replaceChildren(...factsOf(now).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
    say(
      warnings,
      (now.warnings ?? []).map((warning) => el("li", {}, shown(warning))),
    );
  };
  update(job);
  const title = el("h2", { tabindex: "-1" }, el("bdi", {}, shown(nameOf(job.repository) || job.root)), " ", state);
  return {
    element: el(
      "div",
      {},
      el("p", {}, el("a", { href: "#/jobs" }, "← all jobs")),
      title,
      facts,
      warnings,
      files.element,
    ),
    update,
  };
}

function factsOf(job) {
  const tally = job.tally ?? {};
  const sums = ["indexed", "unchanged", "skipped", "failed"].map((name) => `${count(tally[name])} ${name}`).join(" + ");
  const took = isLive(job) ? "" : duration(between(job.started_at, job.ended_at));
  return [
    ["Directory", el("bdi", {}, shown(job.root))],
    ["Asked by", job.origin],
    ["Of", job.paths ? plural(job.paths_total ?? job.paths.length, "path") : "the whole tree"],
    ["Accepted", job.created_at ? `${moment(job.created_at)} (${ago(job.created_at)})` : "–"],
    ["Took", took || "–"],
    ["Files", `${count(tally.seen)} seen = ${sums}; ${count(tally.removed)} removed`],
    ["Says", el("span", {}, shown(isLive(job) ? doing(job) : job.reason || "–"))],
    ["Job", el("code", {}, job.id)],
  ];
}

function outcomes({ id: jobId, tally }) {
  const select = el(
    "select",
    { onchange: () => load(true) },
    OUTCOMES.map((name) => el("option", { value: name }, name)),
  );
  // First what is worth knowing: the failures, else what was left out.
  select.value = OUTCOMES.find((name) => tally?.[name] > 0) ?? "indexed";
  const body = el("tbody");
  const more = el("button", { type: "button", hidden: true, onclick: () => load(false) }, "More files");
  const said = el("p", { class: "line", role: "status" });
  const head = ["Outcome", "Path", "Reason", "Detail"].map((name) => el("th", { scope: "col" }, name));
  const table = el("table", {}, el("thead", {}, el("tr", {}, head)), body);
  const scroll = el("div", { class: "scroll", role: "region", "aria-label": "Files", tabindex: "0" }, table);
  let next = null;
  let turn = 0;

  async function load(anew) {
    const mine = (turn += 1);
    if (anew) next = null;
    const query = new URLSearchParams({ outcome: select.value, limit: PAGE_FILES });
    if (next) query.set("after", next);
    try {
      const page = await ask("GET", `/jobs/${jobId}/files?${query}`);
      if (mine !== turn) return;
      body[anew ? "replaceChildren" : "append"](...page.files.map(rowOf));
      next = page.next;
      more.hidden = !next;
      table.hidden = body.children.length === 0;
      say(
        said,
        body.children.length
          ? `${plural(body.children.length, "file")}${next ? ", and more" : ""}`
          : `No file is noted as ${select.value}.`,
      );
    } catch (error) {
      if (mine === turn && !isShown(error)) say(said, inWords(error));
    }
  }

  load(true);
  const label = el("label", {}, "Files that were ", select);
  const element = el(
    "section",
    { "aria-label": "Files of the job" },
    el("h3", {}, "Files"),
    el("div", { class: "row" }, label),
    said,
    scroll,
    el("p", { class: "more" }, more),
  );
  return { element, load };
}

function rowOf(file) {
  return el(
    "tr",
    {},
    el("td", {}, file.outcome),
    el("td", { class: "mono" }, el("bdi", {}, shown(file.path))),
    el("td", {}, shown(file.reason)),
    el("td", {}, shown(file.detail)),
  );
}
