// Output of a job, as a terminal shows it.

// Greatest number of lines that a page keeps.
const MOST_LINES = 5_000;
// What terminals understand: kind of style, its value (or none), codes.
const STYLES = [
  ["weight", "bold", [1]],
  ["weight", "dim", [2]],
  ["weight", "", [22]],
  ["slant", "italic", [3]],
  ["slant", "", [23]],
  ["line", "under", [4]],
  ["line", "", [24]],
  ["ink", "number", [30, 31, 32, 33, 34, 35, 36, 37, 90, 91, 92, 93, 94, 95, 96, 97]],
  ["ink", "", [39]],
  ["paper", "number", [40, 41, 42, 43, 44, 45, 46, 47, 100, 101, 102, 103, 104, 105, 106, 107]],
  ["paper", "", [49]],
];

/** Return the last pieces of output, with as many lines as a page keeps, or some more. */
function lastOf(pieces) {
  let first = pieces.length;
  for (let lines = 0; first > 0 && lines <= MOST_LINES; first -= 1) {
    lines += pieces[first - 1][1].split("\n").length - 1;
  }
  return pieces.slice(first);
}

/** Output of a job in a <pre>: colours become classes, \r starts a line anew, the oldest lines go. */
export class Output {
  #element;
  #line;
  #classes = [];

  constructor(element) {
    this.#element = element;
    element.textContent = "";
    this.#line = this.#begin();
  }

  /** Append pieces of output, of which only the last lines are worth it. */
  append(pieces) {
    const isAtEnd = this.#isAtEnd();
    for (const [stream, text] of lastOf(pieces)) this.#append(stream, text);
    while (this.#element.childElementCount > MOST_LINES) this.#element.firstElementChild.remove();
    if (isAtEnd) this.#element.scrollTop = this.#element.scrollHeight;
  }

  #append(stream, text) {
    for (const part of text.split(/(\n|\r(?!\n)|\x1b\[[0-?]*[ -/]*[@-~])/)) {
      if (part === "\n") {
        this.#line.append("\n");
        this.#line = this.#begin();
      } else if (part === "\r") this.#line.textContent = "";
      else if (part.startsWith("\x1b[")) this.#style(part);
      else if (part) this.#write(stream, part.replaceAll("\r", ""));
    }
  }

  #isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#element;
    return scrollTop + clientHeight >= scrollHeight - 10;
  }

  #begin() {
    return this.#element.appendChild(document.createElement("span"));
  }

  #write(stream, text) {
    const piece = document.createElement("span");
    piece.classList.add(`moi-${stream}`, ...this.#classes);
    piece.textContent = text;
    this.#line.append(piece);
  }

  /** Heed what tells a terminal to use colours and weights; the rest of its language is dropped. */
  #style(sequence) {
    if (!sequence.endsWith("m")) return;
    for (const code of sequence.slice(2, -1).split(";").map(Number)) {
      const [kind, value] = STYLES.find(([, , codes]) => codes.includes(code)) ?? [];
      if (code === 38 || code === 48) return; // of 256 or more colours, whose numbers follow
      if (code === 0) this.#classes = [];
      if (!kind) continue;
      this.#classes = this.#classes.filter((name) => !name.startsWith(`moi-${kind}-`));
      if (value) this.#classes.push(`moi-${kind}-${value === "number" ? code % 10 : value}`);
    }
  }
}
