// A view that is asked for anew every few seconds while it is shown.

import { byId } from "./dom.js";

/** The view `name`, with its title; `load` asks and draws. A hidden tab asks for nothing. */
export function polledView(name, title, load, everyMs) {
  let poll = 0;
  return {
    name,
    show() {
      document.title = `${title} · codetrove`;
    },
    enter() {
      byId(`${name}-title`).focus({ preventScroll: true });
      clearInterval(poll);
      poll = setInterval(() => document.hidden || load(), everyMs);
      load();
    },
    leave() {
      clearInterval(poll);
    },
    again: () => load(),
  };
}
