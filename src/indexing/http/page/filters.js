// The row of filters under the search box: read into a question, written from one.

import { byId, el } from "./dom.js";
import { shownText } from "./visible.js";

const COMMON = [
  "c",
  "cpp",
  "csharp",
  "css",
  "go",
  "html",
  "java",
  "javascript",
  "json",
  "kotlin",
  "markdown",
  "php",
  "python",
  "ruby",
  "rust",
  "scala",
  "shell",
  "sql",
  "swift",
  "toml",
  "tsx",
  "typescript",
  "yaml",
];

const fields = {
  repository: byId("in-repository"),
  language: byId("in-language"),
  path: byId("in-path"),
  mode: byId("in-mode"),
  consistency: byId("in-consistency"),
};

byId("languages").append(...COMMON.map((name) => el("option", { value: name })));

/** Call `changed` when a filter is set by hand. */
export function onFilters(changed) {
  for (const [name, field] of Object.entries(fields)) {
    field.addEventListener(["language", "path"].includes(name) ? "input" : "change", changed);
  }
  byId("clear-filters").addEventListener("click", () => {
    for (const [name, field] of Object.entries(fields))
      field.value = { mode: "hybrid", consistency: "now" }[name] ?? "";
    changed();
    byId("query").focus();
  });
}

/** What the filters ask. */
export function filters() {
  const words = (field) => field.value.split(/[\s,]+/).filter(Boolean);
  return {
    repositories: fields.repository.value.split(" ").filter(Boolean),
    languages: words(fields.language).map((word) => word.toLowerCase()),
    // A comma may be part of a glob, as in {a,b}.
    paths: fields.path.value.split(/\s+/).filter(Boolean),
    mode: fields.mode.value,
    consistency: fields.consistency.value,
  };
}

/** Show what a question asks. */
export function showFilters(question) {
  const asked = question.repositories.join(" ");
  const known = [...fields.repository.options].some((option) => option.value === asked);
  if (!known) fields.repository.append(el("option", { value: asked }, severalNamed(question.repositories)));
  fields.repository.value = asked;
  fields.language.value = question.languages.join(" ");
  fields.path.value = question.paths.join(" ");
  fields.mode.value = question.mode;
  fields.consistency.value = question.consistency;
}

/** Show the button that clears them where there is something to clear. */
export function showClear(question) {
  const narrowed = question.repositories.length + question.languages.length + question.paths.length > 0;
  byId("clear-filters").hidden = !(narrowed || question.mode !== "hybrid" || question.consistency !== "now");
}

/** Offer these repositories. */
export function offerRepositories(repositories) {
  const asked = fields.repository.value;
  const options = repositories.map((each) => el("option", { value: each.uuid }, shownText(each.name || each.root)));
  fields.repository.replaceChildren(el("option", { value: "" }, "all"), ...options);
  if (asked && !repositories.some((each) => each.uuid === asked)) {
    fields.repository.append(el("option", { value: asked }, severalNamed(asked.split(" "))));
  }
  fields.repository.value = asked;
}

function severalNamed(uuids) {
  return uuids.length === 1 ? `unknown (${uuids[0].slice(0, 8)})` : `${uuids.length} of them`;
}
