// The service view: flags with switches, and how the service stands: workers, memory, queues, vectors.

import { ask, inWords, isShown } from "./api.js";
import { byId, el, say, toast } from "./dom.js";
import { ago, count, duration, moment, plural, size } from "./format.js";
import { polledView } from "./polled.js";
import { shown } from "./visible.js";

const EVERY_MS = 2000;
const QUEUES = {
  planned: "files to read",
  batches: "batches",
  catalog: "writes to the catalog",
  text: "changes for the text index",
};

const rows = new Map();

export const view = polledView("service", "Service", load, EVERY_MS);

async function load() {
  try {
    const [{ flags }, status] = await Promise.all([ask("GET", "/flags"), ask("GET", "/status")]);
    say(byId("service-problem"));
    flags.forEach(showFlag);
    showFacts(status);
  } catch (error) {
    if (!isShown(error)) say(byId("service-problem"), inWords(error));
  }
}

function showFlag(flag) {
  if (!rows.has(flag.name)) {
    const row = flagRow(flag.name);
    rows.set(flag.name, row);
    byId("flags").append(row.element);
  }
  rows.get(flag.name).update(flag);
}

/** One flag, updated in place so that the switch keeps the focus. */
function flagRow(name) {
  const text = el("p", { id: `flag-text-${name}` });
  const by = el("p", { class: "dim small" });
  const toggle = el("button", {
    type: "button",
    role: "switch",
    class: "switch",
    id: `flag-${name}`,
    "aria-labelledby": `flag-name-${name}`,
    "aria-describedby": `flag-text-${name}`,
  });
  const reset = el(
    "button",
    { type: "button", class: "quiet", "aria-label": `Let ${name} follow the settings` },
    "Follow the settings",
  );
  const label = el("h3", { id: `flag-name-${name}` }, el("code", {}, name));
  const element = el("li", {}, toggle, el("div", {}, label, text, by), reset);
  toggle.addEventListener("click", () => change(name, toggle.getAttribute("aria-checked") !== "true"));
  reset.addEventListener("click", () => {
    toggle.focus();
    change(name, null);
  });
  const update = (flag) => {
    toggle.setAttribute("aria-checked", String(flag.value));
    text.replaceChildren(...shown(flag.description));
    const own = flag.stored === true;
    reset.hidden = !own;
    const who = flag.changed_at
      ? [
          ", changed ",
          el("span", { title: moment(flag.changed_at) }, ago(flag.changed_at)),
          " by ",
          el("bdi", {}, shown(flag.changed_by)),
        ]
      : [];
    by.replaceChildren(own ? "Set while running" : "Follows the settings", ...who);
  };
  return { element, update };
}

async function change(name, value) {
  try {
    await ask("PATCH", "/flags", { body: { [name]: value } });
    toast(value === null ? `${name} follows the settings.` : `${name} is ${value ? "on" : "off"}.`);
  } catch (error) {
    if (!isShown(error)) say(byId("service-problem"), inWords(error));
    return;
  }
  load();
}

function showFacts(status) {
  const service = status.service ?? {};
  const facts = [
    ["Running for", duration(service.uptime_seconds)],
    ["Workers", workers(service.workers)],
    ["Memory", memory(service.memory_percent)],
    ["Waiting", queues(service.queues)],
    ["Vectors", vectors(status, service)],
    ["On disk", disk(status)],
    ["Event loop held up", service.held_up === undefined ? null : plural(service.held_up, "time")],
    ["Data directory", status.data_dir ? el("bdi", { class: "mono" }, shown(status.data_dir)) : null],
  ];
  const list = byId("facts");
  list.replaceChildren(
    ...facts.filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );
  const problems = (status.problems ?? []).map((problem) => el("li", {}, shown(problem)));
  say(
    byId("service-problems"),
    problems.length ? [el("h2", {}, "Problems"), el("ul", { class: "notices" }, problems)] : [],
  );
}

function workers(all) {
  if (!all) return null;
  const busy = all.busy ?? 0;
  const allowed = all.allowed ?? 0;
  return [
    el("meter", { min: "0", max: String(Math.max(allowed, 1)), value: String(busy), "aria-label": "Workers busy" }),
    ` ${busy} of ${allowed} busy`,
  ];
}

function memory(percent) {
  if (percent === null || percent === undefined) return null;
  const meter = el("meter", {
    min: "0",
    max: "100",
    high: "80",
    optimum: "0",
    value: percent.toFixed(0),
    "aria-label": "Memory used",
  });
  return [meter, ` ${percent.toFixed(0)} % of the tightest limit`];
}

function queues(depths) {
  if (!depths) return null;
  const waiting = Object.entries(depths).filter(([, depth]) => depth > 0);
  return waiting.length
    ? waiting.map(([name, depth]) => `${QUEUES[name] ?? name} ${count(depth)}`).join(", ")
    : "nothing";
}

function vectors(status, service) {
  const now = service.vectors;
  if (now) {
    const failed = now.failed ? `, ${count(now.failed)} failed` : "";
    const why = now.detail ? [": ", ...shown(now.detail)] : [];
    return [`${count(now.stored)} of ${count(now.stored + now.pending)} stored${failed} · ${now.state}`, ...why];
  }
  const kept = (status.vectors ?? []).map((each) => `${each.model}: ${count(each.stored)} stored`);
  return kept.length ? shown(kept.join(", ")) : "none: text search only";
}

function disk(status) {
  const parts = [
    ["catalog", status.catalog_bytes],
    ["text index", status.text_bytes],
    ["vectors", status.vector_bytes],
    ["other", status.other_bytes],
  ];
  const there = parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${size(bytes)}`);
  return there.length ? there.join(", ") : null;
}
