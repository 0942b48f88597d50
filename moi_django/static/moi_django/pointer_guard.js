// Keeps rows from moving away from under somebody's pointer or keyboard, and clicks from rows that have
// just come under it.

// Milliseconds in which a second click at the same place is not meant for what has come there.
const DOUBLE_CLICK = 500;

export class PointerGuard {
  #areas;
  #onFree;
  // The rows at which the pointer and the keyboard are, or null.
  #rows = { hovered: null, focused: null };
  // Where the last click was, and until when what it has removed is missing there.
  #lastClick = null;
  #removal = null;

  /** Watch an element; `areas` returns those in it that hold rows or lead to them, the list first.
   * `onFree` is called when nobody is at a row any more.
   */
  constructor(element, areas, onFree) {
    this.#areas = areas;
    this.#onFree = onFree;
    element.addEventListener("pointerover", ({ target }) => this.#note("hovered", target));
    element.addEventListener("pointerleave", () => this.#note("hovered", null));
    element.addEventListener("focusin", ({ target }) =>
      this.#note("focused", target.matches(":focus-visible") ? target : null));
    element.addEventListener("focusout", ({ relatedTarget }) => {
      if (!this.#rowAt(relatedTarget)) this.#note("focused", null);
    });
  }

  isFree = () => !this.#rows.hovered && !this.#rows.focused;

  /** Guard no row until somebody is at one again. */
  release = () => (this.#rows = { hovered: null, focused: null });

  /** Tell whether a row that comes or goes would move one that somebody is about to press. */
  wouldBeDisturbedBy(element) {
    const isBefore = (row) =>
      row?.isConnected &&
      !element.contains(row) &&
      element.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_FOLLOWING;
    return Object.values(this.#rows).some(isBefore) && element.checkVisibility();
  }

  /** Note that a row goes, which may be the one that was clicked. */
  noteRemoval(element) {
    if (!element.contains(this.#rows.hovered)) return;
    this.#removal = { ...this.#lastClick, until: Date.now() + DOUBLE_CLICK };
  }

  /** Note a click; tell whether it is meant for what is there now.
   * The second half of a double click is meant for what the first one may have changed.
   */
  acceptsClick({ clientX, clientY, detail }) {
    if (detail > 1) return false;
    const { x, y, until } = this.#removal ?? {};
    if (detail > 0 && x === clientX && y === clientY && Date.now() < until) return false;
    this.#lastClick = { x: clientX, y: clientY };
    return true;
  }

  #note(kind, target) {
    this.#rows[kind] = this.#rowAt(target);
    if (this.isFree()) this.#onFree();
  }

  /** Return the row at or around an element, or the last one beside rows; elsewhere null. */
  #rowAt(element) {
    const areas = this.#areas();
    if (!element || !areas.some((area) => area?.contains(element))) return null;
    return element.closest("[data-id]") ?? areas[0].lastElementChild;
  }
}
