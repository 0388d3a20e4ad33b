// One live job as a card: its bars, its rates, and what can be done about it.

import { ask, inWords, isShown } from "./api.js";
import { fragmentOf } from "./address.js";
import { chart, Rates } from "./chart.js";
import { el, say, setText } from "./dom.js";
import { count, duration, plural, size } from "./format.js";
import { shown } from "./visible.js";

export const LIVE = ["queued", "running", "paused", "cancelling"];

/** Whether a job has not ended. */
export const isLive = (job) => LIVE.includes(job.state);

/** The element for a state: its name, coloured. */
export const stateBadge = (state) => el("span", { class: `state ${state}` }, state);

/** What a job is doing, in a few words. Pure. */
export function doing(job) {
  const progress = job.progress;
  if (job.state === "queued") return job.reason || "waits for its turn";
  if (!progress) return job.reason || "";
  const parts = [progress.waiting || job.reason || progress.stage];
  if (!progress.scanned && progress.stage === "indexing")
    parts.push(`${plural(progress.to_read, "file")} found so far`);
  if (progress.bytes_read) parts.push(`${size(progress.bytes_read)} read`);
  parts.push(duration(progress.seconds));
  if (job.workers) parts.push(`${job.workers.busy} of ${plural(job.workers.allowed, "worker")} busy`);
  if (job.flags) parts.push(job.flags.enable_parallel ? "parallel" : "sequential");
  return parts.filter(Boolean).join(" · ");
}

/** The bars of a job: `[name, done, of, final]`; `final` says that `of` will not grow. Pure. */
export function barsOf(job) {
  const progress = job.progress;
  if (!progress) return [];
  const bars = [
    ["Files read", progress.read, progress.to_read, progress.scanned],
    ["Searchable chunks", progress.searchable_chunks, progress.chunks, progress.scanned],
  ];
  const vectors = job.vectors;
  // 0 of 0: nobody has counted yet what there is to do.
  const wanted = vectors ? vectors.stored + vectors.pending : 0;
  if (vectors) bars.push(["Vectors", vectors.stored, wanted, wanted > 0]);
  return bars;
}

/** A card that is updated in place: `{element, update(job)}`; `nameOf(uuid)` gives a repository's name. */
export function jobCard(job, nameOf) {
  const rates = new Rates();
  const picture = chart();
  const state = el("span");
  const text = el("p", { class: "line" });
  const bars = el("div", { class: "bars" });
  const problem = el("p", { class: "notice bad", role: "alert", hidden: true });
  const actions = el("div", { class: "actions" });
  const title = el(
    "h2",
    {},
    el("a", { href: fragmentOf("jobs", { job: job.id }) }, el("bdi", {}, shown(nameOf(job.repository) || job.root))),
  );
  const element = el(
    "li",
    { class: "card" },
    el("header", {}, title, state, actions),
    text,
    bars,
    picture.element,
    problem,
  );
  const rows = new Map();
  const buttons = new Map();

  const act = (name) => async () => {
    say(problem);
    try {
      update(await ask("POST", `/jobs/${job.id}/${name}`, { body: {} }));
    } catch (error) {
      if (!isShown(error)) say(problem, inWords(error));
    }
  };
  for (const [name, label] of [
    ["pause", "Pause"],
    ["resume", "Resume"],
    ["cancel", "Cancel"],
  ]) {
    const button = el(
      "button",
      { type: "button", onclick: act(name), "aria-label": `${label} ${nameOf(job.repository) || job.root}` },
      label,
    );
    buttons.set(name, button);
    actions.append(button);
  }

  function update(now) {
    state.replaceChildren(stateBadge(now.state));
    setText(text, doing(now));
    for (const bar of barsOf(now)) showBar(bars, rows, bar);
    if (now.progress && rates.add(now.progress.seconds, now.progress.read, now.progress.chunks))
      picture.draw(rates.points);
    const can = { pause: ["queued", "running"], resume: ["paused"], cancel: ["queued", "running", "paused"] };
    for (const [name, button] of buttons) hideKeepingFocus(button, !can[name].includes(now.state), buttons);
  }

  update(job);
  return { element, update };
}

function showBar(parent, rows, [name, done, of, final]) {
  let row = rows.get(name);
  if (!row) {
    const bar = el("progress", { max: "1", "aria-label": name });
    const number = el("span", { class: "num" });
    parent.append(el("div", { class: "bar-row" }, el("span", {}, name), bar, number));
    row = { bar, number };
    rows.set(name, row);
  }
  // A bar whose end is not known yet has no value: it shows that something moves, not how far.
  if (final || of > 0) row.bar.value = of > 0 ? done / of : 1;
  setText(row.number, `${count(done)} / ${count(of)}${final ? "" : "+"}`);
}

/** Pause becomes Resume: whoever pressed it by keyboard stays where they were. */
function hideKeepingFocus(button, hide, buttons) {
  const held = document.activeElement === button;
  button.hidden = hide;
  if (hide && held) setTimeout(() => [...buttons.values()].find((each) => !each.hidden)?.focus());
}
