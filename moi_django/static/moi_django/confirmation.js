// Asks, in the place of a button, before what is still wanted is ended or removed.

// Milliseconds in which a question is to be answered.
const TIMEOUT = 10_000;

/** One question at a time within an element, in the place of the button that led to it.
 * Escape cancels it, and so does leaving it, and time.
 */
export class Confirmation {
  #element;
  // { verb, row, timer, button }
  #pending = null;

  constructor(element) {
    this.#element = element;
    element.addEventListener("mousedown", (event) => this.#onMouseDown(event));
    element.addEventListener("keydown", (event) => this.#onKey(event));
    element.addEventListener("focusout", ({ target }) => this.#isOn(target) && this.cancel());
  }

  ask(verb, row) {
    this.cancel();
    const timer = setTimeout(() => this.cancel(true), TIMEOUT);
    const button = row.findHole("confirm");
    this.#pending = { verb, row, timer, button };
    button.textContent = row.confirmationText(verb);
    button.hidden = false;
    row.element.dataset.asking = verb;
    button.focus();
  }

  /** Do what was asked about. */
  accept() {
    const { verb, row } = this.#pending;
    this.cancel(true);
    this.#element.sendCommand(verb, row);
  }

  /** Withdraw the question, and give the focus that it has to the button that led to it. */
  cancel(isFocused = false) {
    const pending = this.#pending;
    if (!pending) return;
    this.#pending = null;
    clearTimeout(pending.timer);
    delete pending.row.element.dataset.asking;
    if (isFocused) pending.row.findHole(pending.verb)?.focus();
    pending.button.hidden = true;
  }

  /** Withdraw a question about something within an element, which is about to go. */
  cancelWithin(element) {
    if (this.#pending && element.contains(this.#pending.row.element)) this.cancel();
  }

  #isOn(element) {
    return Boolean(this.#pending?.button.contains(element));
  }

  /** The question keeps the focus, and so stays, while somebody presses beside it. */
  #onMouseDown(event) {
    if (this.#pending?.button.parentElement.contains(event.target)) event.preventDefault();
  }

  #onKey(event) {
    if (event.key === "Escape" && this.#isOn(event.target)) this.cancel(true);
    // A key that is still held down presses neither the question that it has asked, nor another
    // button that has got the focus since.
    else if (event.repeat && event.target.closest("button")) event.preventDefault();
  }
}
