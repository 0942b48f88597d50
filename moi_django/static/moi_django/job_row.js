// One row: the element of a job or group, and the holes in it.

const { applies, countJobs, fillHole, isFinished, isUnfinished, offerMore, setText } = await moiModule("job_fields");
const { formatClock, roundDuration, runTime } = await moiModule("time_format");

// Maximum of milliseconds for which a button shows that what it asked for is under way.
const PENDING_TIMEOUT = 5_000;
// The same between two looks at where a job stands; and after news, until the server may look anew.
const PLACE_INTERVAL = 10_000;
const PLACE_DELAY = 2_500;

/** Return the holes of a row that are not in a row within; a new row may have no id yet. */
function ownHoles(element) {
  const holes = [...element.querySelectorAll("[data-moi]")];
  return holes.filter((hole) => (hole.closest("[data-id]") ?? element) === element);
}

/** The element of a job or group, and those holes in it that are not in a row within. */
export class JobRow {
  // As last shown, without its result; null when only the server has shown it.
  info = null;
  // How many members of a group the server has sent.
  covered = Infinity;
  #site;
  // When the job said last how far it is.
  #measuredAt = 0;
  // When to ask where it stands in its queue.
  placeDueAt = 0;
  #isEnabled = false;
  // The button that was pressed last, until there is news of the row.
  #pendingButton = null;
  #pendingTimer = 0;

  /** `site` is what `fillHole` needs; a page of one job has holes beside its element, too. */
  constructor(element, site, holes = ownHoles(element)) {
    this.element = element;
    this.holes = holes;
    this.#site = site;
    this.members = this.findHole("members");
  }

  findHole(name) {
    return this.holes.find((hole) => hole.dataset.moi === name) ?? null;
  }

  get id() {
    return this.element.dataset.id;
  }

  get isFinished() {
    return isFinished(this.element.dataset.state);
  }

  /** Let the buttons that need the server be used, or not. */
  enable(isEnabled) {
    this.#isEnabled = isEnabled;
    const isUsable = isEnabled && !this.element.hasAttribute("data-removed");
    for (const hole of this.holes) {
      if (hole instanceof HTMLButtonElement) hole.disabled = !isUsable && hole.dataset.moi !== "toggle";
    }
  }

  /** Show that the job or group is gone, while the row still keeps its place; or that it is back. */
  markRemoved(isRemoved) {
    this.element.toggleAttribute("data-removed", isRemoved);
    this.enable(this.#isEnabled);
  }

  /** Show an info object unless a newer one is shown; tell whether it was shown. */
  show(info) {
    if (info.version < Number(this.element.dataset.version)) return false;
    this.#showAttributes(info);
    if (info.progress !== this.info?.progress) this.#measuredAt = Date.now();
    this.info = { ...info, result: null };
    this.placeDueAt = Date.now() + PLACE_DELAY;
    this.clearPending();
    this.#passFocusOn(info);
    for (const hole of this.holes) fillHole(hole, info, this.#site);
    this.#showTimes(Date.now());
    this.updateMore();
    return true;
  }

  #showAttributes(info) {
    const { element } = this;
    Object.assign(element.dataset, {
      id: info.id,
      parent: info.parent ?? "",
      version: info.version,
      created: info.date_created ?? "",
      state: info.state ?? "",
    });
    element.toggleAttribute("data-retried", Boolean(info.retried));
  }

  /** Let the times of a job that runs go on. */
  tick(now) {
    if (this.info?.state === "running") this.#showTimes(now);
  }

  /** Show how long the job has run, and how long it probably will. */
  #showTimes(now) {
    const seconds = runTime(this.info, now);
    setText(this.findHole("elapsed"), seconds >= 0 ? formatClock(seconds) : "");
    setText(this.findHole("remaining"), this.#remaining(seconds, now));
  }

  #remaining(seconds, now) {
    const { state, progress } = this.info;
    const measured = seconds - (now - this.#measuredAt) / 1000;
    if (state !== "running" || !(progress > 1e-6) || measured < 1) return "";
    const left = measured / progress - seconds;
    return left > 0 ? this.#site.catalog.text(...roundDuration(left)) : "";
  }

  /** Offer to show those members that the server has not sent: all but the first `covered`. */
  updateMore(covered = this.covered) {
    this.covered = covered;
    const size = this.isCollapsed ? 0 : this.info?.size ?? 0;
    offerMore(this.findHole("more"), this.findHole("left"), size - this.covered);
  }

  /** Tell whether somebody sees a job that waits, and it is time to ask where it stands. */
  isPlaceDue(now) {
    if (this.element.dataset.state !== "queued" || now < this.placeDueAt || !this.findHole("place")) return false;
    const { top, bottom } = this.element.getBoundingClientRect();
    return bottom > 0 && top < innerHeight && this.element.checkVisibility();
  }

  /** Ask not again for a while; return the id. */
  takePlaceTurn(now) {
    this.placeDueAt = now + PLACE_INTERVAL;
    return this.id;
  }

  /** Show where the job stands, unless it has begun meanwhile. */
  showPlace({ place }) {
    if (this.element.dataset.state === "queued") setText(this.findHole("place"), place);
  }

  get isCollapsed() {
    return this.element.hasAttribute("data-closed");
  }

  /** Hide or show the members of a group, if it has a button to show them again. */
  collapse(isCollapsed) {
    const toggle = this.findHole("toggle");
    if (!toggle || !this.members) return;
    toggle.setAttribute("aria-expanded", !isCollapsed);
    this.members.hidden = isCollapsed;
    this.element.toggleAttribute("data-closed", isCollapsed);
    if (this.info || isCollapsed) this.updateMore();
  }

  /** Let a button show that what it asked for is under way, until there is news, or for a while. */
  markPending(verb) {
    this.clearPending();
    this.#pendingButton = this.findHole(verb);
    this.#pendingButton?.setAttribute("aria-disabled", true);
    this.#pendingTimer = setTimeout(() => this.clearPending(), PENDING_TIMEOUT);
  }

  clearPending() {
    clearTimeout(this.#pendingTimer);
    this.#pendingButton?.removeAttribute("aria-disabled");
    this.#pendingButton = null;
  }

  /** Return what to ask before a verb ends or removes what is still wanted; empty for nothing. */
  confirmationText(verb) {
    if (!this.findHole("confirm") || !["cancel", "remove"].includes(verb)) return "";
    const { catalog } = this.#site;
    if (this.info?.type !== "group") {
      return verb === "remove" && !this.isFinished ? catalog.text("remove-unfinished") : "";
    }
    const count = countJobs(this.info.totals, verb === "cancel" ? isUnfinished : () => true);
    return count ? catalog.text(`${verb}-jobs`, count) : "";
  }

  dispatch(what, info) {
    this.element.dispatchEvent(new CustomEvent(`moi:${what}`, { bubbles: true, detail: info }));
  }

  /** A button that is about to be hidden passes the focus on. */
  #passFocusOn(info) {
    const button = document.activeElement;
    if (this.holes.includes(button) && !applies(button, info, this.#site)) this.findHole("remove")?.focus();
  }
}
