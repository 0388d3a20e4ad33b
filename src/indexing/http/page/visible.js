// Text of files and names as it is: what does not print is shown by its number, so that nothing reads as something else.

// Control characters but tab, soft hyphen, bidirectional controls, zero-width and invisible ones, separators, variation
// and tag characters, private use, noncharacters and lone surrogates.
const ODD =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0e\uffa0\ufffe\uffff]/gu;

/** Split a text into `{text, odd}`; odd pieces are single characters that do not print, as `␀` or `U+202E`. Pure. */
export function pieces(text) {
  const found = [];
  let at = 0;
  for (const match of text.matchAll(ODD)) {
    if (match[0] === "\t") continue;
    if (match.index > at) found.push({ text: text.slice(at, match.index), odd: false });
    found.push({ text: named(match[0]), odd: true });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ text: text.slice(at), odd: false });
  return found;
}

/** The nodes that show a text. */
export function shown(text) {
  return pieces(String(text ?? "")).map((piece) => {
    if (!piece.odd) return document.createTextNode(piece.text);
    const mark = document.createElement("span");
    mark.className = "odd";
    mark.title = "a character that does not print";
    mark.textContent = piece.text;
    return mark;
  });
}

/** The same as one plain text, for titles and labels. Pure. */
export function shownText(text) {
  return pieces(String(text ?? ""))
    .map((piece) => (piece.odd ? `‹${piece.text}›` : piece.text))
    .join("");
}

/**
 * Split a line at the ranges to mark: `{text, marked}`. Ranges are in code points, as the service counts characters;
 * JavaScript counts UTF-16 units, two for each character beyond U+FFFF. Pure.
 */
export function segments(text, ranges) {
  const points = /[\ud800-\udfff]/.test(text) ? Array.from(text) : text;
  const slice = (from, to) => (typeof points === "string" ? points.slice(from, to) : points.slice(from, to).join(""));
  const found = [];
  let at = 0;
  for (const [from, to] of [...ranges].sort((one, other) => one[0] - other[0])) {
    const begin = Math.max(from, at);
    if (to <= begin) continue;
    if (begin > at) found.push({ text: slice(at, begin), marked: false });
    found.push({ text: slice(begin, to), marked: true });
    at = to;
  }
  if (at < points.length) found.push({ text: slice(at, points.length), marked: false });
  return found;
}

/** The nodes that show a line with its matches marked. */
export function markedLine(text, ranges) {
  return segments(text, ranges).flatMap((segment) => {
    if (!segment.marked) return shown(segment.text);
    const mark = document.createElement("mark");
    mark.append(...shown(segment.text));
    return [mark];
  });
}

function named(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
