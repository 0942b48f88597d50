// The output of a job, as a terminal shows it: `terminal_screen.py` does the same without scripts.

// Maximum number of lines that a page keeps, and the screen that the last ones are in.
const MAX_LINES = 5_000;
const [ROWS, COLUMNS] = [50, 1_000];
// Sequences for colours and movements, for titles and links, others; then single characters.
const CONTROL =
  /(\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]|[\x00-\x1f\x7f-\x9f])/;
// A sequence whose end may be in the next piece, if it is not too long for that.
const MAX_SEQUENCE = 4_096;
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)$/;
const BLANK = [" ", ""];
const COMMAND = /^\x1b(\[?)([\d;:]*)([@-~78])$/;
const ALIASES = { "\v": "\n", "\f": "\n", E: "\n", "[f": "[H", "[s": "7", "[u": "8" };
// How far down and to the right the cursor goes, for each of as many steps as a command says.
const STEPS = {
  "[A": [-1, 0], "[B": [1, 0], "[C": [0, 1], "[D": [0, -1], "\b": [0, -1],
  "[E": [1, -COLUMNS], "[F": [-1, -COLUMNS], "\r": [0, -COLUMNS],
};
// The styles by their codes: kind and value, or the kind that ends; colours by the tens of theirs.
const STYLES = {
  1: "weight-bold", 2: "weight-dim", 22: "weight-", 3: "slant-italic", 23: "slant-",
  4: "line-under", 21: "line-under", 24: "line-", 9: "strike-through", 29: "strike-",
  7: "colours-swapped", 27: "colours-", 39: "ink-", 49: "paper-",
};
const COLOURS = { 3: "ink", 4: "paper", 9: "ink", 10: "paper" };

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

/** Show a line of cells, each a character and its classes: an element for all that look alike. */
function renderLine({ element, cells }) {
  const pieces = [];
  for (let start = 0, end = 1; end <= cells.length; end += 1) {
    if (cells[end]?.[1] === cells[start][1]) continue;
    const piece = document.createElement("span");
    piece.className = cells[start][1];
    piece.textContent = cells.slice(start, end).map(([character]) => character).join("");
    pieces.push(piece);
    start = end;
  }
  // One that goes on in the next row has a cell too many.
  element.classList.toggle("moi-goes-on", cells.length > COLUMNS);
  element.replaceChildren(...pieces, element.nextSibling && cells.length <= COLUMNS ? "\n" : "");
}

/** The output in a <pre>: colours become classes, the cursor moves, the oldest lines go. */
export class TerminalOutput {
  // True when the beginning is missing.
  isCut;
  #element;
  #follower;
  // The last lines, where the cursor is and was, and the last that scrolls.
  #screen = [];
  #row = 0;
  #column = 0;
  #saved = [0, 0];
  #bottom = ROWS - 1;
  #changed = new Set();
  #styles = [];
  // By stream, the sequence that its last piece has begun.
  #unfinished = {};

  /** `follower` is a checkbox that says whether the end is kept in sight. */
  constructor(element, isCut, follower = { checked: true }) {
    this.#element = element;
    this.#follower = follower;
    this.isCut = isCut;
    element.textContent = "";
    // Who scrolls up stops that, and who scrolls to the end goes on with it.
    element.onscroll = ({ target: { scrollTop, clientHeight, scrollHeight } }) =>
      (this.#follower.checked = scrollTop + clientHeight >= scrollHeight - 10);
    this.#follower.onchange = this.#follow;
    this.#moveTo(0, 0);
  }

  /** Append pieces, and keep as many lines as a page does. */
  append(pieces) {
    for (const [stream, text] of pieces) this.#appendPiece(stream, text);
    this.#follow();
  }

  #follow = () => this.#follower.checked && (this.#element.scrollTop = this.#element.scrollHeight);

  #appendPiece(stream, added) {
    const text = (this.#unfinished[stream] ?? "") + added;
    const unfinished = text.slice(-MAX_SEQUENCE).match(UNFINISHED)?.[0] ?? "";
    this.#unfinished[stream] = unfinished;
    const parts = text.slice(0, text.length - unfinished.length).split(CONTROL);
    this.#changed.add(this.#screen.at(-1));
    parts.forEach((part, index) => (index % 2 ? this.#execute(part) : this.#write(part, stream)));
    for (const line of this.#changed.add(this.#screen.at(-1))) renderLine(line);
    this.#changed.clear();
    const surplus = this.#element.childElementCount - MAX_LINES;
    this.isCut ||= surplus > 0;
    for (let each = 0; each < surplus; each += 1) this.#element.firstChild.remove();
  }

  /** Return the cells of the line that the cursor is in, which are about to change. */
  get #cells() {
    this.#changed.add(this.#screen[this.#row]);
    return this.#screen[this.#row].cells;
  }

  #write(text, stream) {
    const classes = [`moi-${stream}`, ...this.#styles].join(" ");
    for (const character of text) {
      if (this.#column === COLUMNS) {
        if (this.#cells.length >= COLUMNS) this.#cells[COLUMNS] = ["", classes];
        this.#commands["\n"]();
      }
      const cells = this.#cells;
      while (cells.length < this.#column) cells.push(BLANK);
      cells[this.#column++] = [character, classes];
    }
  }

  #execute(control) {
    const [, bracket, numbers, letter] = control.match(COMMAND) ?? ["", "", "", control];
    const name = ALIASES[bracket + letter] ?? bracket + letter;
    if (name === "[m") return this.#setStyles(numbers);
    const given = `${numbers};`.split(";").map((each) => Math.min(Number(each) || 0, COLUMNS));
    const count = Math.max(1, given[0]);
    const step = STEPS[name]?.map((each) => each * count);
    if (step) this.#moveTo(this.#row + step[0], this.#column + step[1]);
    else this.#commands[name]?.(count, ...given);
  }

  /** What else controls do; with `n` of at least 1, and with the first two numbers as they are. */
  #commands = {
    "\t": () => this.#moveTo(this.#row, this.#column + 8 - (this.#column % 8)),
    "\n": () => this.#feedLine(0),
    D: () => this.#feedLine(this.#column),
    M: () => (this.#row ? this.#moveTo(this.#row - 1, this.#column) : this.#shift(this.#bottom, 0)),
    7: () => (this.#saved = [this.#row, this.#column]),
    8: () => this.#moveTo(...this.#saved),
    "[G": (n) => this.#moveTo(this.#row, n - 1),
    "[H": (n, first, second) => this.#moveTo(n - 1, second - 1),
    "[d": (n) => this.#moveTo(n - 1, this.#column),
    "[J": (n, how) => this.#eraseScreen(how),
    "[K": (n, how) => this.#erase(how ? 0 : this.#column, how === 1 ? this.#column + 1 : Infinity),
    "[L": (n) => this.#shift(this.#bottom, this.#row, n, 0),
    "[M": (n) => this.#shift(this.#row, this.#bottom, n, 0),
    "[P": (n) => (this.#cells.splice(COLUMNS), this.#cells.splice(this.#column, n)),
    "[X": (n) => this.#erase(this.#column, this.#column + n),
    "[r": (n, first, last) => {
      this.#bottom = first < 2 && last > 1 && last < ROWS ? last - 1 : ROWS - 1;
      this.#moveTo(0, 0);
    },
  };

  /** Move the cursor, but not out of the screen. */
  #moveTo(row, column) {
    this.#row = Math.max(0, Math.min(ROWS - 1, row));
    this.#column = Math.max(0, Math.min(COLUMNS - 1, column));
    while (this.#screen.length <= this.#row) this.#insertLine(this.#screen.length);
  }

  /** Move the cursor a line down; below the last one that scrolls, the first leaves the screen. */
  #feedLine(column) {
    if (this.#row !== this.#bottom) return this.#moveTo(this.#row + 1, column);
    this.#column = column;
    this.#screen.shift();
    this.#insertLine(this.#bottom);
  }

  #insertLine(row) {
    const line = { element: document.createElement("span"), cells: [] };
    this.#element.insertBefore(line.element, this.#screen[row]?.element ?? null);
    this.#screen.splice(row, 0, line);
    this.#changed.add(line);
  }

  #removeLine(row) {
    const [line] = this.#screen.splice(row, 1);
    line?.element.remove();
    this.#changed.delete(line);
  }

  /** Take lines out at one place and put empty ones in at another. */
  #shift(start, end, count = 1, column = this.#column) {
    for (let each = 0; each < Math.min(count, ROWS); each += 1) {
      this.#removeLine(start);
      this.#insertLine(end);
    }
    this.#column = column;
  }

  /** Erase from the cursor on (0), up to it (1), all (2), or also what has left the screen (3). */
  #eraseScreen(how) {
    while (how !== 1 && this.#screen.length > this.#row + 1) this.#removeLine(this.#row + 1);
    for (let row = 0; how && row < this.#row; row += 1) this.#shift(row, row);
    const [{ element }] = this.#screen;
    while (how === 3 && element.previousSibling) element.previousSibling.remove();
    this.#commands["[K"](0, how);
  }

  #erase(start, end) {
    const cells = this.#cells;
    if (end < cells.length) cells.fill(BLANK, start, end);
    else cells.splice(start);
  }

  /** Use the colours and weights of a sequence from here on; the parts of one may have colons. */
  #setStyles(numbers) {
    const codes = numbers.split(";").flatMap((each) => {
      const [code, form, ...rest] = each.split(":").map(Number);
      return form && (code === 38 || code === 48) ? [code, form, ...rest.slice(-3)] : [code];
    });
    while (codes.length) {
      const code = codes.shift();
      const kind = COLOURS[Math.floor(code / 10)];
      if (code === 0) this.#styles = [];
      else if (code in STYLES) this.#setStyle(...STYLES[code].split("-"));
      else if (kind) this.#setStyle(kind, code % 10 < 8 ? code % 10 : this.#takeColour(codes));
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
