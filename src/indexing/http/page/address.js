// Where the user is, as the fragment of the address: `#/search?q=…`. It never reaches the server or its logs.

/** @typedef {{view: string, params: URLSearchParams}} Place */

export const VIEWS = ["search", "repositories", "jobs", "service"];

const DEFAULTS = { mode: "hybrid", consistency: "now", k: "20" };

/** Read a fragment. Pure. @returns {Place} */
export function placeOf(fragment) {
  const [path, query = ""] = fragment.replace(/^#?\/?/, "").split(/\?(.*)/s);
  return { view: VIEWS.includes(path) ? path : "search", params: new URLSearchParams(query) };
}

/** Write a fragment. Pure. */
export function fragmentOf(view, params) {
  const query = new URLSearchParams(params).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

/** What is asked, from the parameters of the search view; anything odd becomes its default. Pure. */
export function questionOf(params) {
  const one = (name, allowed) => (allowed.includes(params.get(name)) ? params.get(name) : DEFAULTS[name]);
  const k = Number(params.get("k") ?? DEFAULTS.k);
  return {
    query: params.get("q") ?? "",
    repositories: params.getAll("repo"),
    languages: params.getAll("lang"),
    paths: params.getAll("path"),
    mode: one("mode", ["hybrid", "text", "vector"]),
    consistency: one("consistency", ["now", "wait", "fresh"]),
    k: Number.isInteger(k) && k >= 1 && k <= 200 ? k : 20,
  };
}

/** The parameters of the search view that ask this; defaults are left out. Pure. */
export function paramsOf(question) {
  const params = new URLSearchParams();
  if (question.query) params.set("q", question.query);
  for (const value of question.repositories) params.append("repo", value);
  for (const value of question.languages) params.append("lang", value);
  for (const value of question.paths) params.append("path", value);
  for (const name of ["mode", "consistency", "k"]) {
    if (String(question[name]) !== DEFAULTS[name]) params.set(name, question[name]);
  }
  return params;
}

/** @type {(place: Place, how: {moved: boolean}) => void} */
let onPlace = () => {};

/** Call `listener` now and whenever the place changes. */
export function follow(listener) {
  onPlace = listener;
  const arrive = () => onPlace(here(), { moved: true });
  addEventListener("popstate", arrive);
  arrive();
}

/** The place now. */
export const here = () => placeOf(location.hash);

/** Go somewhere: a new entry of the history, or in place of the present one. */
export function go(view, params = {}, { replace = false } = {}) {
  write(view, params, replace);
  onPlace(here(), { moved: true });
}

/** Write down where we are without going anywhere. */
export function write(view, params, replace) {
  const fragment = fragmentOf(view, params);
  if (fragment === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", fragment);
}
