// One row: the element of a job or group, and the holes in it.
//
// A hole is an element that has `data-moi`: a field of the info object, or link, remove, members, ...
// It is filled with text, never with HTML.

const { clockOf, isoOf, localize, runTime, roughly } = await moiModule("times");

const FINISHED = new Set(["success", "failed", "cancelled", "lost"]);
// The states that the parts of a group's bar count.
const PARTS = {
  success: ["success"],
  failed: ["failed", "lost"],
  cancelled: ["cancelled"],
  running: ["running"],
  queued: ["queued"],
};
// Milliseconds for which a button shows at most that what it asked for is under way.
const PATIENCE = 5_000;
// What stands for an id in the addresses of our own pages.
const BLANK = "00000000-0000-0000-0000-000000000000";

/** Return where a job or group leads, or null when there is nothing safe to link to.
 *
 * Without a url of its own it leads to our page of it, if the site has that: `pages` are the addresses
 * of a "job" and a "group" with a blank for the id.
 */
export function linkOf(info, pages = {}) {
  if (info.url === null) return pages[info.type]?.replace(BLANK, info.id) ?? null;
  const open = info.type === "group" || FINISHED.has(info.state);
  if (!open || !info.url || /[\u0000-\u0020\\]/.test(info.url) || info.url.startsWith("//")) {
    return null;
  }
  const link = `${info.url.replace(/\/+$/, "")}/${info.id}`;
  const target = URL.canParse(link, document.baseURI) ? new URL(link, document.baseURI) : null;
  return target && /^https?:$/.test(target.protocol) ? link : null;
}

/** What fills a hole, by its `data-moi`. Any other name is that of a field of the info object. */
const FILLERS = {
  link(hole, info, { pages }) {
    const link = linkOf(info, pages);
    link ? hole.setAttribute("href", link) : hole.removeAttribute("href");
  },
  status: (hole, info, { words }) => setText(hole, words.status(info)),
  totals: (hole, info, { words }) => fillTotals(hole, info.totals ?? {}, words),
  amount: (hole, info, { words }) => setText(hole, amountOf(info, words)),
  progress: (hole, info) => fillProgress(hole, info),
};

/** Fill one hole of a row; `site` are its words, and the addresses of our own pages. */
export function fill(hole, info, site) {
  const name = hole.dataset.moi;
  if (name in FILLERS) {
    FILLERS[name](hole, info, site);
  } else if (hole instanceof HTMLTimeElement) {
    hole.dateTime = isoOf(info[name]);
    hole.textContent = "";
    localize(hole, site.words.locale);
  } else if (name in info) {
    setText(hole, textOf(info[name]));
  }
}

export function setText(hole, text) {
  if (hole.textContent !== text) hole.textContent = text;
}

function textOf(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Show how far a job is: as a bar, which has no value when it does not know of how much. */
function fillProgress(hole, { state, progress, done }) {
  const bar = hole.querySelector("progress") ?? hole;
  if (!(bar instanceof HTMLProgressElement)) return setText(hole, textOf(progress));
  hole.hidden = state !== "running" || (progress === null && done === null);
  if (progress === null) bar.removeAttribute("value");
  else bar.value = progress;
}

/** Return how far a job is in what it counts, or in percent. */
function amountOf({ state, progress, done, total }, words) {
  if (state === "success" || (progress === null && done === null)) return "";
  if (progress === null) return words.say("done", Math.floor(done));
  if (!total) return words.say("percent").replace("#", Math.floor(progress * 100));
  return [done, total].map((number) => Math.round(number * 10) / 10).join("/");
}

/** Show how many jobs of a group are in which state: as lengths of a bar, or as numbers. */
function fillTotals(hole, totals, words) {
  let start = 0;
  for (const part of hole.querySelectorAll("[data-part]")) {
    const name = part.dataset.part;
    const count = sum(totals, (state) => PARTS[name]?.includes(state));
    if (part instanceof SVGElement) {
      part.setAttribute("x", start);
      part.setAttribute("width", count);
    } else {
      part.hidden = count === 0;
      const number = part.querySelector("[data-moi=count]");
      setText(number ?? part, number ? String(count) : words.say(name, count));
    }
    start += count;
  }
  if (hole instanceof SVGElement) hole.setAttribute("viewBox", `0 0 ${start || 1} 1`);
}

/** Return how many jobs are in the states that are wanted. */
function sum(totals, isWanted) {
  let all = 0;
  for (const state in totals) if (isWanted(state)) all += totals[state];
  return all;
}

const isOpen = (state) => state === "queued" || state === "running";
const isFailed = (state) => state === "failed" || state === "lost";

/** Offer to show more of something, if there is more. */
export function offer(button, hole, left) {
  if (button) button.hidden = !(left > 0);
  if (hole) hole.textContent = Math.max(0, left);
}

/** The element of a job or group, and the holes that are its own. */
export class Row {
  // As last shown, without its result; null for what only the server has shown.
  info = null;
  // Of a group: how many members it has, and how many of them the server has sent.
  size = 0;
  covered = Infinity;
  #site;
  #measuredAt = 0;
  #isEnabled = false;
  #isLeaving = false;
  // The button that was pressed last, until news of the row.
  #awaited = null;
  #patience = 0;

  constructor(element, holes, site) {
    this.element = element;
    this.holes = holes;
    this.#site = site;
    this.members = this.hole("members");
  }

  hole(name) {
    return this.holes.find((hole) => hole.dataset.moi === name) ?? null;
  }

  get id() {
    return this.element.dataset.id;
  }

  get isFinished() {
    return FINISHED.has(this.element.dataset.state);
  }

  /** Let the buttons that need the server be used, or not. */
  enable(isOn) {
    this.#isEnabled = isOn;
    for (const hole of this.holes) {
      if (!(hole instanceof HTMLButtonElement)) continue;
      hole.disabled = !(isOn && !this.#isLeaving) && hole.dataset.moi !== "toggle";
    }
  }

  /** Show that the job or group is gone, while the row still keeps its place. */
  leave() {
    this.#isLeaving = true;
    this.element.toggleAttribute("data-removed", true);
    this.enable(this.#isEnabled);
  }

  /** Undo `leave`. */
  stay() {
    this.#isLeaving = false;
    this.element.toggleAttribute("data-removed", false);
    this.enable(this.#isEnabled);
  }

  /** Show an info object unless a newer one is shown; tell whether it was shown. */
  show(info) {
    const { element } = this;
    if (info.version < Number(element.dataset.version)) return false;
    Object.assign(element.dataset, {
      id: info.id,
      parent: info.parent ?? "",
      version: info.version,
      created: info.date_created ?? "",
      state: info.state ?? "",
      attempts: info.attempts ?? 1,
    });
    element.toggleAttribute("data-retried", Boolean(info.retried));
    element.toggleAttribute("data-unfinished", sum(info.totals, isOpen) > 0);
    element.toggleAttribute("data-failed", sum(info.totals, isFailed) > 0);
    if (info.progress !== this.info?.progress) this.#measuredAt = Date.now();
    this.info = { ...info, result: null };
    this.size = info.size ?? 0;
    this.settle();
    for (const hole of this.holes) fill(hole, info, this.#site);
    this.tick(Date.now());
    this.showLeft();
    this.#keepFocus();
    return true;
  }

  /** Show how long the job has run, and how long it probably will. */
  tick(now) {
    if (!this.info) return;
    const seconds = runTime(this.info, now);
    const elapsed = this.hole("elapsed");
    if (elapsed) setText(elapsed, seconds >= 0 ? clockOf(seconds) : "");
    const remaining = this.hole("remaining");
    if (remaining) setText(remaining, this.#remaining(seconds, now));
  }

  #remaining(seconds, now) {
    const { state, progress } = this.info;
    const measured = seconds - (now - this.#measuredAt) / 1000;
    if (state !== "running" || !(progress > 0) || measured < 1) return "";
    const left = measured / progress - seconds;
    return left > 0 ? this.#site.words.say(...roughly(left)) : "";
  }

  /** Show how many members there are besides those that are shown. */
  showLeft() {
    offer(this.hole("more"), this.hole("left"), this.size - this.covered);
  }

  get isClosed() {
    return this.element.hasAttribute("data-closed");
  }

  /** Hide or show the members of a group, if there is a button to open it again. */
  close(isClosed) {
    const toggle = this.hole("toggle");
    if (!toggle || !this.members) return;
    toggle.setAttribute("aria-expanded", !isClosed);
    this.members.hidden = isClosed;
    this.element.toggleAttribute("data-closed", isClosed);
  }

  /** Let a button show that what it asked for is under way, until news of the row or for a while. */
  wait(verb) {
    this.settle();
    this.#awaited = this.hole(verb);
    this.#awaited?.setAttribute("aria-disabled", true);
    this.#patience = setTimeout(() => this.settle(), PATIENCE);
  }

  /** Let the button that waited be pressed again. */
  settle() {
    clearTimeout(this.#patience);
    this.#awaited?.removeAttribute("aria-disabled");
    this.#awaited = null;
  }

  /** Return what to ask before a verb is sent that ends or removes what is still wanted; or "". */
  questionFor(verb) {
    if (!this.hole("confirm") || !["cancel", "remove"].includes(verb)) return "";
    const { words } = this.#site;
    if (this.info?.type !== "group") {
      return verb === "remove" && !this.isFinished ? words.say("remove-unfinished") : "";
    }
    const count = sum(this.info.totals, verb === "cancel" ? isOpen : () => true);
    return count ? words.say(`${verb}-jobs`, count) : "";
  }

  emit(what, info) {
    this.element.dispatchEvent(new CustomEvent(`moi:${what}`, { bubbles: true, detail: info }));
  }

  /** A button that goes hands the focus on. */
  #keepFocus() {
    const button = document.activeElement;
    if (this.holes.includes(button) && !button.checkVisibility()) this.hole("remove")?.focus();
  }
}
