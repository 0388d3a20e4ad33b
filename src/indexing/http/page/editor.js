// Links that open a file in the user's editor, on the machine that the browser runs on.

import { byId, el, remember, remembered, setText } from "./dom.js";

export const EDITORS = {
  vscode: ["VS Code", "vscode://file{path}:{line}"],
  cursor: ["Cursor", "cursor://file{path}:{line}"],
  idea: ["IntelliJ IDEA", "idea://open?file={path}&line={line}"],
  zed: ["Zed", "zed://file{path}:{line}"],
  custom: ["another", ""],
};

// Schemes by which a link would run code in the page instead of opening something.
const RUNS_CODE = ["javascript", "data", "vbscript", "blob"];

/** Why a template cannot be used; empty where it can. Pure. */
export function whyNot(template) {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(template)?.[1].toLowerCase();
  if (!scheme) return "A link begins with a scheme, such as myeditor://";
  if (RUNS_CODE.includes(scheme)) return `${scheme}: cannot be a link to an editor`;
  if (!template.includes("{path}")) return "The link needs {path}";
  return "";
}

/** The link for a line of a file by its absolute path, or an empty string where the template is no good. Pure. */
export function editorLink(template, path, line) {
  if (whyNot(template)) return "";
  const encoded = path.split("/").map(encodeURIComponent).join("/");
  return template
    .replaceAll("{path}", () => encoded)
    .replaceAll("{line}", String(line))
    .replaceAll("{column}", "1");
}

/** The user's choice: `{name, template}`. */
export function chosen() {
  const key = remembered("editor");
  if (key === "custom") return { key, name: "editor", template: remembered("template") };
  const [name, template] = EDITORS[key] ?? EDITORS.vscode;
  return { key: EDITORS[key] ? key : "vscode", name, template };
}

/**
 * An anchor that opens a file, or null. Names whose bytes the service can only show escaped have no link: it would
 * lead to another file.
 */
export function editorAnchor({ root, path, path_b64: exact }, line) {
  const editor = chosen();
  const href = exact || !root ? "" : editorLink(editor.template, `${root}/${path}`, line);
  return href ? el("a", { class: "quiet editor", href }, `Open in ${editor.name}`) : null;
}

/** Wire the choice of the editor; `changed` is called after each change. */
export function editorSettings(changed) {
  const select = byId("editor");
  const template = byId("template");
  select.append(...Object.entries(EDITORS).map(([key, [name]]) => el("option", { value: key }, name)));
  const update = () => {
    byId("template-label").hidden = select.value !== "custom";
    const problem = select.value === "custom" && template.value ? whyNot(template.value) : "";
    template.setAttribute("aria-invalid", String(Boolean(problem)));
    setText(byId("template-hint"), select.value === "custom" ? problem || "{path} and {line} are filled in." : "");
  };
  select.value = chosen().key;
  template.value = remembered("template");
  select.addEventListener("change", () => {
    remember("editor", select.value);
    update();
    changed();
  });
  template.addEventListener("input", () => {
    remember("template", template.value);
    update();
    changed();
  });
  update();
}
