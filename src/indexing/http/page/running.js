// The number beside "Jobs": how many have not ended.

import { byId, setText } from "./dom.js";

/** Show it, or nothing where it is 0. */
export function showRunning(number) {
  byId("jobs-running").hidden = number === 0;
  setText(byId("jobs-running"), number ? String(number) : "");
}
