// Where somebody's pointer and keyboard are, so that nothing moves away from under them.

// Milliseconds in which a second click at the same place is not meant for what has come there.
const AFTER = 500;

export class Attention {
  #element;
  #places;
  #left;
  // The rows to which the pointer and the keyboard point, or null.
  #pointed = null;
  #tabbed = null;
  // Where something was pressed last, and where and until when that is gone.
  #pressed = null;
  #gone = null;

  /** Watch an element; `places` returns those in it that hold rows or lead to them, the list first.
   *
   * `left` is called when nobody points to a row any more.
   */
  constructor(element, places, left) {
    this.#element = element;
    this.#places = places;
    this.#left = left;
  }

  begin() {
    for (const [event, react] of this.#reactions) this.#element.addEventListener(event, react);
  }

  end() {
    for (const [event, react] of this.#reactions) this.#element.removeEventListener(event, react);
  }

  /** Take it for granted that nobody points to a row, until somebody does again. */
  release() {
    this.#pointed = this.#tabbed = null;
  }

  /** Tell whether a row, coming or going, moves one that somebody is about to press. */
  isDisturbedBy(element) {
    const isBefore = (row) =>
      row?.isConnected &&
      !element.contains(row) &&
      element.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    return [this.#pointed, this.#tabbed].some(isBefore) && element.checkVisibility();
  }

  /** Note that a row goes, which may be the one that was pressed. */
  lose(element) {
    if (element.contains(this.#pointed)) this.#gone = { ...this.#pressed, until: Date.now() + AFTER };
  }

  /** Note a click; tell whether it is meant for what is there now.
   *
   * The second half of a double click is meant for what the first one may have changed.
   */
  accepts({ clientX, clientY, detail }) {
    if (detail > 1) return false;
    const { x, y, until } = this.#gone ?? {};
    if (detail > 0 && x === clientX && y === clientY && Date.now() < until) return false;
    this.#pressed = { x: clientX, y: clientY };
    return true;
  }

  #reactions = [
    ["pointerover", ({ target }) => this.#onPointer(target)],
    ["pointerleave", () => this.#onPointer(null)],
    ["focusin", ({ target }) => this.#onFocus(target.matches(":focus-visible") ? target : null)],
    ["focusout", ({ relatedTarget }) => this.#rowAt(relatedTarget) ?? this.#onFocus(null)],
  ];

  #onPointer(target) {
    this.#pointed = this.#rowAt(target);
    this.#settle();
  }

  #onFocus(target) {
    this.#tabbed = this.#rowAt(target);
    this.#settle();
  }

  #settle() {
    if (!this.#pointed && !this.#tabbed) this.#left();
  }

  /** Return the row at or around an element, or the last one beside rows; elsewhere null. */
  #rowAt(element) {
    const places = this.#places();
    if (!element || !places.some((place) => place?.contains(element))) return null;
    return element.closest("[data-id]") ?? places[0].lastElementChild;
  }
}
