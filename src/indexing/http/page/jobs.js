// The jobs view: what runs, live, and what ran.

import { ask, inWords, isShown, suspect } from "./api.js";
import { fragmentOf, here } from "./address.js";
import { byId, el, say, setText } from "./dom.js";
import { ago, between, count, duration, moment } from "./format.js";
import { isLive, jobCard, stateBadge } from "./job.js";
import { jobDetail } from "./job_detail.js";
import { showRunning } from "./running.js";
import { shown, shownText } from "./visible.js";

const LIST_EVERY_MS = 2000;
const HISTORY = 50;
// A browser opens six connections to a host, for all tabs together: searches need some of them.
const MOST_STREAMS = 2;

const liveList = byId("live-jobs");
const detailPlace = byId("job-detail");

let names = new Map();
let poll = 0;
let detail = null;
const cards = new Map();
const streams = new Map();
const states = new Map();

const nameOf = (uuid) => names.get(uuid) ?? "";

export const view = {
  name: "jobs",
  show(params) {
    document.title = "Jobs · codetrove";
    showDetail(params.get("job"));
  },
  async enter() {
    byId("jobs-title").focus({ preventScroll: true });
    clearInterval(poll);
    poll = setInterval(() => document.hidden || load(), LIST_EVERY_MS);
    document.addEventListener("visibilitychange", rest);
    await loadNames();
    load();
  },
  leave() {
    clearInterval(poll);
    document.removeEventListener("visibilitychange", rest);
    for (const id of [...streams.keys()]) unwatch(id);
    showDetail(null);
  },
  again() {
    loadNames().then(load);
    if (here().params.get("job")) showDetail(here().params.get("job"));
  },
};

async function loadNames() {
  try {
    const { repositories } = await ask("GET", "/repositories");
    names = new Map(repositories.map((each) => [each.uuid, each.name || each.root]));
  } catch (error) {
    if (!isShown(error)) say(byId("jobs-problem"), inWords(error));
  }
}

async function load() {
  let jobs;
  try {
    ({ jobs } = await ask("GET", `/jobs?limit=${HISTORY}`));
  } catch (error) {
    if (!isShown(error)) say(byId("jobs-problem"), inWords(error));
    return;
  }
  say(byId("jobs-problem"));
  if (jobs.some((job) => !names.has(job.repository))) await loadNames();
  const live = jobs.filter(isLive);
  showLive(live);
  showHistory(jobs.filter((job) => !isLive(job)));
  showRunning(live.length);
  jobs.forEach(announce);
  const looked = jobs.find((job) => job.id === detail?.id);
  if (looked && !streams.has(looked.id)) detail.update(looked);
  const watched = document.hidden ? [] : live.filter((job) => job.state !== "queued").slice(0, MOST_STREAMS);
  for (const id of [...streams.keys()]) if (!watched.some((job) => job.id === id)) unwatch(id);
  for (const job of watched) watch(job.id);
}

function showLive(live) {
  for (const [id, card] of cards) {
    if (live.some((job) => job.id === id)) continue;
    card.element.remove();
    cards.delete(id);
  }
  for (const job of live) {
    const card = cards.get(job.id);
    // The stream is ahead of the list.
    if (card && !streams.has(job.id)) card.update(job);
    if (!card) {
      cards.set(job.id, jobCard(job, nameOf));
      liveList.append(cards.get(job.id).element);
    }
  }
  byId("no-live-jobs").hidden = live.length > 0;
}

function showHistory(ended) {
  const body = byId("history").tBodies[0];
  const key = JSON.stringify(ended.map((job) => [job.id, job.state]));
  const minute = Math.floor(Date.now() / 60000);
  // Drawn again only where something changed: a row that is being read or focused stays.
  if (body.dataset.key === `${minute}${key}`) return;
  const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  body.dataset.key = `${minute}${key}`;
  body.replaceChildren(...ended.map(historyRow));
  if (focused) body.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function historyRow(job) {
  const tally = job.tally ?? {};
  const number = (value) => el("td", { class: "num" }, count(value));
  const name = nameOf(job.repository) || job.root;
  const link = el(
    "a",
    {
      href: fragmentOf("jobs", { job: job.id }),
      "aria-label": `Details of the job for ${shownText(name)}, ${moment(job.ended_at)}`,
    },
    "details",
  );
  return el(
    "tr",
    {},
    el("td", {}, stateBadge(job.state)),
    el("td", {}, el("bdi", {}, shown(name))),
    el("td", {}, job.origin),
    el("td", { title: moment(job.ended_at) }, ago(job.ended_at)),
    el("td", { class: "num" }, duration(between(job.started_at, job.ended_at))),
    number(tally.indexed),
    number(tally.unchanged),
    number(tally.skipped),
    number(tally.failed),
    number(tally.removed),
    el("td", {}, link),
  );
}

/** Read out when a job that was seen alive changes its state. */
function announce(job) {
  const before = states.get(job.id);
  states.set(job.id, job.state);
  if (before === undefined || before === job.state) return;
  const tally = isLive(job) ? "" : `, ${count(job.tally?.indexed)} indexed, ${count(job.tally?.failed)} failed`;
  setText(byId("jobs-said"), `${shownText(nameOf(job.repository) || job.root)}: ${job.state}${tally}`);
}

function watch(id) {
  if (streams.has(id)) return;
  const stream = new EventSource(`/jobs/${encodeURIComponent(id)}/events`);
  streams.set(id, stream);
  stream.addEventListener("job", (event) => take(JSON.parse(event.data)));
  stream.addEventListener("end", () => {
    unwatch(id);
    load();
  });
  stream.addEventListener("error", () => {
    // The browser comes back to a stream that broke, not to one that was refused; the list goes on in either case.
    if (stream.readyState === EventSource.CLOSED) unwatch(id);
    suspect();
  });
}

function unwatch(id) {
  streams.get(id)?.close();
  streams.delete(id);
}

function take(job) {
  cards.get(job.id)?.update(job);
  if (detail?.id === job.id) detail.update(job);
  announce(job);
}

/** A hidden tab lets its connections go. */
function rest() {
  if (!document.hidden) {
    load();
    return;
  }
  for (const id of [...streams.keys()]) unwatch(id);
}

async function showDetail(id) {
  byId("jobs-overview").hidden = Boolean(id);
  detailPlace.hidden = !id;
  if (!id) {
    detail = null;
    detailPlace.replaceChildren();
    return;
  }
  try {
    if (!names.size) await loadNames();
    const job = await ask("GET", `/jobs/${encodeURIComponent(id)}`);
    if (here().params.get("job") !== id) return;
    say(byId("jobs-problem"));
    const made = jobDetail(job, nameOf);
    detail = { id, update: made.update };
    detailPlace.replaceChildren(made.element);
    made.element.querySelector("h2").focus({ preventScroll: true });
  } catch (error) {
    detailPlace.replaceChildren(el("p", {}, el("a", { href: "#/jobs" }, "← all jobs")));
    if (!isShown(error)) say(byId("jobs-problem"), inWords(error));
  }
}
