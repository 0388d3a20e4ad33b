// Puts the page together: views, keys, colours, and what is shown while the service cannot be reached.

import { ask, connection, look, signIn, signOut } from "./api.js";
import { follow, go, here } from "./address.js";
import { codeDialog, isOpen, showCode, toEditor } from "./code.js";
import { byId, remember, remembered, say } from "./dom.js";
import { editorSettings } from "./editor.js";
import { view as jobs } from "./jobs.js";
import { wireKeys } from "./keys.js";
import { view as repositories } from "./repositories.js";
import * as search from "./search.js";
import { view as service } from "./service.js";

const VIEWS = { search: search.view, repositories, jobs, service };
const THEMES = { "": ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

let present = null;
let signedOut = false;
let roots = new Map();

function arrive({ view: name, params }) {
  const next = VIEWS[name];
  const isNew = next !== present;
  if (isNew) {
    present?.leave();
    present = next;
    showSection();
    for (const link of document.querySelectorAll("#views a")) {
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }
  if (signedOut) return;
  if (isNew) next.enter();
  next.show(params);
  showCode(params);
}

function showSection() {
  byId("signed-out").hidden = !signedOut;
  for (const [name, each] of Object.entries(VIEWS)) byId(`view-${name}`).hidden = signedOut || each !== present;
}

async function rootOf(uuid) {
  if (!roots.has(uuid)) {
    const { repositories: known } = await ask("GET", "/repositories");
    roots = new Map(known.map((each) => [each.uuid, each.root]));
  }
  return roots.get(uuid) ?? "";
}

function nextTheme() {
  const names = Object.keys(THEMES);
  return names[(names.indexOf(remembered("theme")) + 1) % names.length];
}

function showTheme() {
  const name = remembered("theme") in THEMES ? remembered("theme") : "";
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  const [sign, words] = THEMES[name];
  byId("theme").textContent = sign;
  byId("theme").setAttribute("aria-label", `Colours: ${words}`);
}

function openKeys() {
  byId("keys").showModal();
}

function openInEditor() {
  if (isOpen()) toEditor();
  else document.activeElement?.closest("#hits > li")?.querySelector("a.editor")?.click();
}

function openCurrent(event) {
  const hit = search.current();
  // On a link or a button inside the hit, Enter does what that does.
  if (!hit || event.target.closest("a, button, summary")) return false;
  search.open(hit);
  return true;
}

function step(by) {
  if (present !== search.view) return false;
  search.move(by);
  return true;
}

connection.addEventListener("lost", () => say(byId("banner"), "The service does not answer. Trying again…"));
connection.addEventListener("back", () => {
  say(byId("banner"));
  const wasOut = signedOut;
  signedOut = false;
  if (!wasOut) {
    present.again();
    return;
  }
  present = null;
  arrive(here());
});
connection.addEventListener("signed-out", () => {
  say(byId("banner"));
  signedOut = true;
  document.querySelectorAll("dialog[open]").forEach((dialog) => dialog.close());
  present?.leave();
  showSection();
  document.title = "signed out · codetrove";
  byId("signed-out-title").focus();
});

byId("try-again").addEventListener("click", () => look());
byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  const problem = await signIn(token);
  say(byId("sign-in-problem"), problem);
});
byId("sign-out").addEventListener("click", () => signOut());
byId("show-keys").addEventListener("click", openKeys);
byId("keys-close").addEventListener("click", () => byId("keys").close());
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
byId("theme").addEventListener("click", () => {
  remember("theme", nextTheme());
  showTheme();
});

wireKeys([
  [
    ["/"],
    "focus the search box",
    () => {
      if (present !== search.view) go("search");
      search.focusBox();
    },
  ],
  [["j", "ArrowDown"], "next hit", () => step(1)],
  [["k", "ArrowUp"], "previous hit", () => step(-1)],
  [["Enter"], "open the hit in its file", openCurrent],
  [["o"], "open in the editor", openInEditor, { inDialogs: true }],
  [["?"], "this list", openKeys],
]);
// In the box only the arrow moves on: j and k are letters there.
byId("query").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" && !event.isComposing) {
    event.preventDefault();
    search.move(1);
  }
  if (event.key === "Escape" && !event.target.value) event.target.blur();
});

editorSettings(search.redraw);
codeDialog(rootOf);
showTheme();
follow(arrive);
