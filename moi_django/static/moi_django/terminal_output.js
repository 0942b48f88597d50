// The output of a job, as a terminal shows it.

// Maximum number of lines that a page keeps, and of the last ones of those that may still change.
const MAX_LINES = 5_000;
const SCREEN_LINES = 50;
// Column beyond which nothing moves the cursor, and length beyond which no sequence is waited for.
const MAX_COLUMNS = 500;
const MAX_SEQUENCE = 4_096;
// Sequences for colours and movements, for titles and links, others; then single characters.
const CONTROL =
  /(\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x08\n-\x1f\x7f-\x9f])/;
// A sequence whose end may be in the next piece.
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)$/;
const SEQUENCE = /^\x1b\[([\d;:]*)([A-GKm])$/;
// The styles: kind, value (or none), codes.
const STYLES = [
  ["weight", "bold", [1]], ["weight", "dim", [2]], ["weight", "", [22]],
  ["slant", "italic", [3]], ["slant", "", [23]],
  ["line", "under", [4, 21]], ["line", "", [24]],
  ["strike", "through", [9]], ["strike", "", [29]],
  ["colours", "swapped", [7]], ["colours", "", [27]],
  ["ink", "number", [30, 31, 32, 33, 34, 35, 36, 37, 90, 91, 92, 93, 94, 95, 96, 97]],
  ["ink", "", [39]],
  ["paper", "number", [40, 41, 42, 43, 44, 45, 46, 47, 100, 101, 102, 103, 104, 105, 106, 107]],
  ["paper", "", [49]],
];

/** Return the last pieces of output, with as many lines as a page keeps, or some more. */
function lastPieces(pieces) {
  let first = pieces.length;
  for (let lines = 0; first > 0 && lines <= MAX_LINES; first -= 1) {
    lines += pieces[first - 1][1].split("\n").length - 1;
  }
  return pieces.slice(first);
}

/** Return which of the eight basic colours red, green and blue come closest to; 7 for all greys. */
function nearestColour(...shares) {
  const [least, most] = [Math.min(...shares), Math.max(...shares)];
  if (most - least < 48) return 7;
  return shares.reduce((sum, share, bit) => sum + (2 * share > least + most) * 2 ** bit, 0);
}

/** Return which of the eight basic colours one of 256 comes closest to. */
function paletteColour(number) {
  if (number < 16) return number % 8;
  if (number > 231) return 7;
  const share = (place) => (Math.floor((number - 16) / place) % 6) * 51;
  return nearestColour(share(36), share(6), share(1));
}

/** Return the codes of a sequence, also of a colour whose parts are separated by colons. */
function parseCodes(numbers) {
  const codes = numbers.split(";").flatMap((each) => {
    const [code, form, ...rest] = each.split(":");
    const isColour = form && (code === "38" || code === "48");
    return isColour ? [code, form, ...rest.slice(form === "2" ? -3 : 0)] : [code];
  });
  return codes.map(Number);
}

/** A line that may still change: its characters, and the CSS classes of each. */
class Line {
  element = document.createElement("span");
  isLast = true;
  #characters = [];
  #classes = [];

  get length() {
    return this.#characters.length;
  }

  put(column, character, classes) {
    while (this.length < column) this.put(this.length, " ", "");
    this.#characters[column] = character;
    this.#classes[column] = classes;
  }

  /** Erase from the cursor on (0), up to it (1), or all (2). */
  erase(column, what) {
    for (let each = 0; what && each < this.length && (each <= column || what === 2); each += 1) {
      this.put(each, " ", "");
    }
    if (what !== 1 && column < this.length) {
      this.#characters.length = this.#classes.length = column;
    }
  }

  /** Show the line: an element for each piece that looks alike. */
  render() {
    const pieces = document.createDocumentFragment();
    for (let start = 0, end = 1; end <= this.length; end += 1) {
      if (end < this.length && this.#classes[end] === this.#classes[start]) continue;
      const piece = pieces.appendChild(document.createElement("span"));
      piece.className = this.#classes[start];
      piece.textContent = this.#characters.slice(start, end).join("");
      start = end;
    }
    this.element.replaceChildren(pieces, this.isLast ? "" : "\n");
  }
}

/** The output in a <pre>: colours become classes, the cursor moves, the oldest lines go. */
export class TerminalOutput {
  // True when the beginning is missing.
  isCut;
  #element;
  // The last lines, and where among them the cursor is.
  #screen = [];
  #row = 0;
  #column = 0;
  #changed = new Set();
  #styles = [];
  // By stream, the sequence that its last piece has begun.
  #unfinished = {};

  constructor(element, isCut) {
    this.#element = element;
    this.isCut = isCut;
    element.textContent = "";
    this.#addLine();
  }

  /** Append pieces, but no more of them than the page keeps. */
  append(pieces) {
    const { scrollTop, clientHeight, scrollHeight } = this.#element;
    const isAtEnd = scrollTop + clientHeight >= scrollHeight - 10;
    const last = lastPieces(pieces);
    for (const [stream, text] of last) this.#appendPiece(stream, text);
    for (const line of this.#changed) line.render();
    this.#changed.clear();
    if (last.length < pieces.length || this.#element.childElementCount > MAX_LINES) this.isCut = true;
    while (this.#element.childElementCount > MAX_LINES) this.#element.firstElementChild.remove();
    if (isAtEnd) this.#element.scrollTop = this.#element.scrollHeight;
  }

  #appendPiece(stream, added) {
    let text = (this.#unfinished[stream] ?? "") + added;
    const unfinished = text.slice(-MAX_SEQUENCE).match(UNFINISHED)?.[0] ?? "";
    this.#unfinished[stream] = unfinished;
    text = text.slice(0, text.length - unfinished.length);
    for (const [index, part] of text.split(CONTROL).entries()) {
      if (index % 2) this.#execute(part);
      else if (part) this.#write(part, stream);
    }
  }

  get #line() {
    return this.#screen[this.#row];
  }

  /** Add a line below the last one. */
  #addLine() {
    const above = this.#screen.at(-1);
    if (above) {
      above.isLast = false;
      this.#changed.add(above);
    }
    const line = new Line();
    this.#screen.push(line);
    this.#element.append(line.element);
    if (this.#screen.length > SCREEN_LINES) this.#screen.shift();
    this.#row = this.#screen.length - 1;
  }

  #write(text, stream) {
    const classes = [`moi-${stream}`, ...this.#styles].join(" ");
    const line = this.#line;
    for (const character of text) line.put(this.#column++, character, classes);
    this.#changed.add(line);
  }

  #execute(control) {
    const [, numbers, command] = control.match(SEQUENCE) ?? [];
    if (control === "\n") this.#lineFeed();
    else if (control === "\r") this.#column = 0;
    else if (control === "\b") this.#column = Math.max(0, this.#column - 1);
    else if (command === "m") this.#setStyles(numbers);
    else if (command) this.#commands[command](parseInt(numbers, 10) || 0);
  }

  #lineFeed() {
    this.#column = 0;
    if (this.#row < this.#screen.length - 1) this.#row += 1;
    else this.#addLine();
  }

  /** What the sequences do by their last letter: move the cursor, or erase from it. */
  #commands = {
    A: (count) => this.#moveCursor(this.#row - (count || 1), this.#column),
    B: (count) => this.#moveCursor(this.#row + (count || 1), this.#column),
    C: (count) => this.#moveCursor(this.#row, this.#column + (count || 1)),
    D: (count) => this.#moveCursor(this.#row, this.#column - (count || 1)),
    E: (count) => this.#moveCursor(this.#row + (count || 1), 0),
    F: (count) => this.#moveCursor(this.#row - (count || 1), 0),
    G: (count) => this.#moveCursor(this.#row, (count || 1) - 1),
    K: (what) => {
      this.#line.erase(this.#column, what);
      this.#changed.add(this.#line);
    },
  };

  /** Move the cursor, but not out of the last lines. */
  #moveCursor(row, column) {
    this.#row = Math.max(0, Math.min(this.#screen.length - 1, row));
    const maxColumn = Math.max(MAX_COLUMNS, this.#line.length);
    this.#column = Math.max(0, Math.min(maxColumn, column));
  }

  /** Use the colours and weights of a sequence from here on. */
  #setStyles(numbers) {
    const codes = parseCodes(numbers);
    while (codes.length) {
      const code = codes.shift();
      const [kind, value] = STYLES.find(([, , all]) => all.includes(code)) ?? [];
      if (code === 0) this.#styles = [];
      else if (code === 38) this.#setStyle("ink", this.#takeColour(codes));
      else if (code === 48) this.#setStyle("paper", this.#takeColour(codes));
      else if (kind) this.#setStyle(kind, value === "number" ? code % 10 : value);
    }
  }

  /** Take the colour that follows off the codes; the page has but eight. */
  #takeColour(codes) {
    const form = codes.shift();
    if (form === 5) return paletteColour(codes.shift());
    return form === 2 ? nearestColour(...codes.splice(0, 3)) : "";
  }

  #setStyle(kind, value) {
    this.#styles = this.#styles.filter((name) => !name.startsWith(`moi-${kind}-`));
    if (value !== "") this.#styles.push(`moi-${kind}-${value}`);
  }
}
