// What is asked before a verb is sent that ends or removes what is still wanted.

// Milliseconds in which a question is to be answered.
const PATIENCE = 10_000;

/** One question at a time within an element, in the place of the button that led to it.
 *
 * Escape takes it back, and so do a look elsewhere and time.
 */
export class Question {
  // { row, verb, timer }
  #asked = null;

  constructor(element) {
    // The question keeps the focus, and so stays, while somebody presses where it is.
    element.addEventListener("mousedown", (event) => this.#isHere(event.target) && event.preventDefault());
    element.addEventListener("keydown", (event) => this.#onKey(event));
    element.addEventListener("focusout", ({ target }) => this.#isButton(target) && this.dismiss());
  }

  ask(row, verb) {
    this.dismiss();
    const timer = setTimeout(() => this.dismiss(true), PATIENCE);
    this.#asked = { row, verb, timer };
    const button = row.hole("confirm");
    button.textContent = row.questionFor(verb);
    button.hidden = false;
    row.element.dataset.asking = verb;
    button.focus();
  }

  /** Take the question as answered; return the row and the verb it was about. */
  answer() {
    const { row, verb } = this.#asked;
    this.dismiss(true);
    return { row, verb };
  }

  /** Take the question back; the button that led to it gets the focus if that was on the question. */
  dismiss(isFocused = false) {
    const asked = this.#asked;
    if (!asked) return;
    this.#asked = null;
    clearTimeout(asked.timer);
    delete asked.row.element.dataset.asking;
    if (isFocused) asked.row.hole(asked.verb)?.focus();
    asked.row.hole("confirm").hidden = true;
  }

  /** Take back what is asked about something within an element, which is about to go. */
  forget(element) {
    if (this.#asked && element.contains(this.#asked.row.element)) this.dismiss();
  }

  #isHere(element) {
    return Boolean(this.#asked?.row.hole("confirm").parentElement.contains(element));
  }

  #isButton(element) {
    return Boolean(this.#asked?.row.hole("confirm").contains(element));
  }

  #onKey(event) {
    if (event.key === "Escape" && this.#isButton(event.target)) this.dismiss(true);
    // A key that is still held down presses neither the question that it has asked, nor another
    // button that has got the focus since.
    else if (event.repeat && event.target.closest("button")) event.preventDefault();
  }
}
