// The keyboard: every key, what it does, and the dialog that lists them.

import { byId, el } from "./dom.js";

/** Keys that are shown but handled where they happen. */
const NATIVE = [
  ["Esc", "close, or leave the empty search box"],
  ["Tab", "go through everything"],
];

/**
 * Wire keys. `keys` is a list of `[names, text, action, {inDialogs}]`; an action that returns false leaves the key
 * to the browser. They work outside of fields, and while a dialog is open only those with `inDialogs`.
 */
export function wireKeys(keys) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const inDialog = Boolean(document.querySelector("dialog[open]"));
    const inField = event.target.matches?.("input, select, textarea") ?? false;
    if (inField) return;
    const found = keys.find(([names, , , where = {}]) => names.includes(event.key) && (!inDialog || where.inDialogs));
    if (found && found[2](event) !== false) event.preventDefault();
  });
  const rows = [...keys.map(([names, text]) => [names, text]), ...NATIVE.map(([name, text]) => [[name], text])];
  byId("keys-list").append(
    ...rows.flatMap(([names, text]) => [
      el(
        "dt",
        {},
        names.map((name) => el("kbd", {}, name.replace("ArrowDown", "↓").replace("ArrowUp", "↑"))),
      ),
      el("dd", {}, text),
    ]),
  );
}
