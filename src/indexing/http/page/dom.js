// Makes elements. Text only ever becomes text: nothing here, or anywhere in the page, turns a string into markup.

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/**
 * An element with attributes and children. Values: functions are listeners (`onclick`), booleans are set or left out,
 * null is left out. Children: nodes, strings, lists of them, null.
 */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Show a message in an element, or hide the element where there is none. */
export function say(element, ...message) {
  const said = message.flat(Infinity).filter((part) => part !== null && part !== "");
  element.replaceChildren(...said);
  element.hidden = said.length === 0;
}

/** Change a text only where it differs: a live region that is written to is read out. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Keep what the user chose; a browser without storage forgets it. */
export function remember(key, value) {
  try {
    if (value) localStorage.setItem(`codetrove.${key}`, value);
    else localStorage.removeItem(`codetrove.${key}`);
  } catch {
    // Nothing to do: the choice holds for this page.
  }
}

/** What `remember` kept, or an empty string. */
export function remembered(key) {
  try {
    return localStorage.getItem(`codetrove.${key}`) ?? "";
  } catch {
    return "";
  }
}

let toastTimer = 0;

/** Say for a few seconds what was done. */
export function toast(...message) {
  say(byId("toast"), ...message);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => say(byId("toast")), 5000);
}

/** Ask before what cannot be undone; resolves to whether it is wanted. */
export function confirmed(title, text, yes) {
  const dialog = byId("confirm");
  byId("confirm-title").replaceChildren(title);
  byId("confirm-text").replaceChildren(text);
  byId("confirm-yes").textContent = yes;
  dialog.showModal();
  return new Promise((resolve) => {
    const answer = (wanted) => {
      dialog.close();
      resolve(wanted);
    };
    byId("confirm-no").onclick = () => answer(false);
    byId("confirm-yes").onclick = () => answer(true);
    dialog.oncancel = () => resolve(false);
  });
}
