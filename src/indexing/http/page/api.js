// Talks to the service that served this page, with its session cookie, and knows whether it can be reached.

/** An answer that is not what was asked for; the message is for people. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `the service answered ${status}`);
    this.status = status;
    this.correlation = problem.correlation_id ?? "";
  }
}

/** No answer: the service is down, or out of reach. */
export class Lost extends Error {}

/** Fires `lost`, `back` and `signed-out`. */
export const connection = new EventTarget();

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 10000;

let state = "ok";
let waitTimer = 0;

/** Ask the service; resolves to the JSON of the answer, or null. Throws Refused, Lost, or AbortError. */
export async function ask(method, path, { body, signal, headers = {} } = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      signal,
      credentials: "same-origin",
      cache: "no-store",
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    become("lost");
    throw new Lost("the service does not answer");
  }
  become(answer.status === 401 ? "signed-out" : "ok");
  const text = answer.status === 204 ? "" : await answer.text();
  const content = parsed(text);
  if (!answer.ok) throw new Refused(answer.status, content ?? {});
  return content;
}

/** Whether an error has been shown already, by the banner or the signed-out screen, or needs no showing. */
export function isShown(error) {
  return error instanceof Lost || error.name === "AbortError" || error.status === 401;
}

/** An error in words. */
export function inWords(error) {
  if (!(error instanceof Refused)) return String(error.message ?? error);
  const because = error.status === 403 ? "not allowed for this session: " : "";
  const reference = error.status >= 500 && error.correlation ? ` (reference ${error.correlation})` : "";
  return `${because}${error.message}${reference}`;
}

/** Ask again whether the service is there and knows us. */
export async function look() {
  clearTimeout(waitTimer);
  try {
    await ask("GET", "/flags");
  } catch (error) {
    if (!isShown(error) && !(error instanceof Refused)) throw error;
  }
}

/** Begin a session with a token; resolves to why not, or an empty string. The token is not kept. */
export async function signIn(token) {
  // Only what can stand in a header can be a token.
  if (!/^[\x21-\x7e]+$/.test(token)) return "This is no token.";
  try {
    await ask("POST", "/sign-in", { headers: { Authorization: `Bearer ${token}` } });
    return "";
  } catch (error) {
    return error.status === 401 ? "The token is not known here." : inWords(error);
  }
}

/** End the session. */
export async function signOut() {
  await ask("DELETE", "/sign-in").catch((error) => error);
  await look();
}

/** Say that an event stream broke: the next look tells why. */
export function suspect() {
  if (state === "ok") look();
}

function become(next) {
  const before = state;
  state = next;
  if (next === "lost" && before !== "lost") waitAndLook(FIRST_WAIT_MS);
  if (next === before) return;
  connection.dispatchEvent(new Event(next === "ok" ? "back" : next));
}

function waitAndLook(wait) {
  clearTimeout(waitTimer);
  waitTimer = setTimeout(async () => {
    await look();
    if (state === "lost") waitAndLook(Math.min(wait * 2, LONGEST_WAIT_MS));
  }, wait);
}

function parsed(text) {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

addEventListener("online", () => state === "lost" && look());
document.addEventListener("visibilitychange", () => !document.hidden && state !== "ok" && look());
addEventListener("focus", () => state === "signed-out" && look());
