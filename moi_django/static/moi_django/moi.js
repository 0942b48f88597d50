// <moi-jobs>: keeps the rows that the server has rendered as they are in Redis.
//
// All words and all markup come from the templates. This script fills the elements that have
// `data-moi` (a field of the info object, or link, remove, members, ...) with text, never with HTML.

const FINISHED = new Set(["success", "failed", "cancelled", "lost"]);
// The states that the parts of a group's bar count.
const PARTS = {
  success: ["success"],
  failed: ["failed", "lost"],
  cancelled: ["cancelled"],
  running: ["running"],
  queued: ["queued"],
};
// What stands for an id in the addresses of our own pages.
const BLANK = "00000000-0000-0000-0000-000000000000";
// Close codes after which another attempt would end the same way.
const FINAL = new Set([4400, 4401, 4403, 4404]);
// Milliseconds: longest wait between attempts; silence after which the server is asked for a sign
// of life; time it has to give one; time in which a question is to be answered.
const LONGEST_WAIT = 30_000;
const SILENCE = 15_000;
const PATIENCE = 10_000;
const QUESTION = 10_000;
// Greatest number of rows to ask for at once, and of lines of output that a page keeps.
const MOST_ROWS = 1_000;
const MOST_LINES = 5_000;
// Where a browser remembers that its user wants to be notified.
const WISH = "moi-notify";
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

// Times

/** Return a time of an info object as `new Date` reads it. */
function isoOf(date) {
  return date ? `${date.replace(" ", "T")}Z` : "";
}

/** Return for how many seconds a job has run so far or did run; NaN when it has not begun. */
function runTime(info, now) {
  const end = info.date_end ? Date.parse(isoOf(info.date_end)) : now;
  return Math.max(0, end - Date.parse(isoOf(info.date_start))) / 1000;
}

/** Return seconds as a clock shows them, 1:02:03 or 2:03. */
function clockOf(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const [first, ...rest] = parts[0] ? parts : parts.slice(1);
  return [first, ...rest.map((part) => String(part).padStart(2, "0"))].join(":");
}

/** Return the word for a time that is left, and how many of its units that is. */
function roughly(seconds) {
  if (seconds < 60) return ["seconds", Math.ceil(seconds / 5) * 5];
  if (seconds < 3600) return ["minutes", Math.round(seconds / 60)];
  if (seconds < 48 * 3600) return ["hours", Math.round(seconds / 3600)];
  return ["days", Math.round(seconds / 86400)];
}

/** Show the time of a <time> in the zone of the viewer. */
function localize(time, locale) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const isToday = date.toDateString() === new Date().toDateString();
  time.textContent = isToday
    ? date.toLocaleTimeString(locale, { timeStyle: "medium" })
    : date.toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
  time.title = date.toLocaleString(locale, { dateStyle: "full", timeStyle: "long" });
}

// Words and holes

/** The words of the templates, in the language of the page. */
class Words {
  #forms = new Map();
  #rules;

  constructor(template, language) {
    // In the manner of the viewer, where the page speaks the viewer's language.
    const own = navigator.languages.find((each) => each.split("-")[0] === language.split("-")[0]);
    try {
      this.locale = Intl.getCanonicalLocales(own ?? language)[0];
    } catch {
      this.locale = undefined;
    }
    this.#rules = new Intl.PluralRules(this.locale);
    for (const { dataset, textContent } of template?.content.querySelectorAll("[data-word]") ?? []) {
      const key = "n" in dataset ? `${dataset.word} #` : dataset.word;
      const form = { kind: this.#rules.select(Number(dataset.n ?? 0)), text: textContent.trim() };
      this.#forms.set(key, [...(this.#forms.get(key) ?? []), form]);
    }
  }

  /** Return a word, or several for a number of things; empty when the template has none. */
  say(word, number) {
    const forms = this.#forms.get(number === undefined ? word : `${word} #`) ?? [];
    const kind = this.#rules.select(number ?? 0);
    const form = forms.find((form) => form.kind === kind) ?? forms.at(-1);
    return form?.text.replace("#", number ?? "#") ?? "";
  }

  /** Return a status text; one that the job did not set itself is translated. */
  status({ state, status }) {
    const plain = state === "lost" ? "failed" : state;
    return (status.toLowerCase() === plain && this.say(plain)) || status;
  }
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
  progress(hole, info) {
    hole.hidden = info.state !== "running" || info.progress === null;
    (hole.querySelector("progress") ?? hole).value = info.progress ?? 0;
  },
};

/** Fill one hole of a row; `site` are its words, and the addresses of our own pages. */
function fill(hole, info, site) {
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

function setText(hole, text) {
  if (hole.textContent !== text) hole.textContent = text;
}

function textOf(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Return how far a job is in what it counts, or in percent. */
function amountOf({ state, progress, done, total }, words) {
  if (state === "success" || progress === null) return "";
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
function offer(button, hole, left) {
  if (button) button.hidden = !(left > 0);
  if (hole) hole.textContent = Math.max(0, left);
}

/** The element of a job or group, and the holes that are its own. */
class Row {
  // As last shown, without its result; null for what only the server has shown.
  info = null;
  // Of a group: how many members it has, and how many of them the server has sent.
  size = 0;
  covered = Infinity;
  #site;
  #measuredAt = 0;

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
    for (const hole of this.holes) {
      if (!(hole instanceof HTMLButtonElement)) continue;
      hole.disabled = !isOn && hole.dataset.moi !== "toggle";
    }
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

  /** Show or hide the members of a group. */
  toggle() {
    const isShown = this.members?.toggleAttribute("hidden") === false;
    this.hole("toggle").setAttribute("aria-expanded", isShown);
    this.element.toggleAttribute("data-closed", !isShown);
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

// Who looks elsewhere

// Jobs that have ended while nobody saw the page, and what that has put before its title.
const unseen = new Set();
let badge = "";

function showBadge() {
  const title = document.title.startsWith(badge) ? document.title.slice(badge.length) : document.title;
  badge = unseen.size ? `(${unseen.size}) ` : "";
  document.title = badge + title;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden || !unseen.size) return;
  unseen.clear();
  showBadge();
});

/** Return what the browser keeps for the site; where it keeps nothing, a wish ends with the page. */
function storage() {
  try {
    return window.localStorage;
  } catch {
    return kept;
  }
}
const kept = {};

/** Whether somebody wants the browser to tell of ends. */
const wish = {
  get isPossible() {
    return "Notification" in window && Notification.permission !== "denied";
  },
  get isOn() {
    return this.isPossible && Notification.permission === "granted" && storage()[WISH] === "on";
  },
  async toggle() {
    const isOn = !this.isOn && (await Notification.requestPermission()) === "granted";
    storage()[WISH] = isOn ? "on" : "off";
  },
};

function notify(info, status) {
  unseen.add(info.id);
  showBadge();
  if (!wish.isOn) return;
  try {
    const shown = new Notification(info.name, { body: status, tag: info.id });
    shown.onclick = () => window.focus();
  } catch {
    // Browsers of phones have them for service workers only.
  }
}

// The connection

/** A connection that is made anew whenever it is lost, until the server says that it is no use. */
class Live {
  #address;
  #on;
  #socket = null;
  #attempts = 0;
  #retry = 0;
  #watchdog = 0;
  #heardAt = 0;
  #askedAt = 0;
  #isRefused = false;

  constructor(address, on) {
    this.#address = address;
    this.#on = on;
  }

  begin() {
    window.addEventListener("online", this.#onOnline);
    this.#watchdog = setInterval(() => this.#checkPulse(), PATIENCE / 2);
    this.#connect();
  }

  end() {
    window.removeEventListener("online", this.#onOnline);
    clearTimeout(this.#retry);
    clearInterval(this.#watchdog);
    this.#hangUp();
  }

  /** Take the next loss for the first. */
  succeeded() {
    this.#attempts = 0;
  }

  send(verb, payload) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ [verb]: payload }));
    }
  }

  #connect() {
    clearTimeout(this.#retry);
    const address = new URL(this.#address(), document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    this.#heardAt = Date.now();
    this.#askedAt = 0;
    socket.onopen = () => this.#on.opened();
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => this.#onClose(event.code);
  }

  /** Leave a socket whatever it does from now on. */
  #hangUp() {
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #onClose(code) {
    this.#socket = null;
    this.#isRefused = FINAL.has(code);
    this.#on.lost(this.#isRefused);
    if (this.#isRefused) return;
    // Spread over the whole time, so a server that restarts is not stormed.
    const longest = Math.min(LONGEST_WAIT, 250 * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.#connect(), Math.random() * longest);
  }

  #onOnline = () => {
    if (!this.#socket && !this.#isRefused) this.#connect();
  };

  /** A connection may die without a word: ask for one, and give up when none comes. */
  #checkPulse() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const now = Date.now();
    if (this.#askedAt && now - this.#askedAt > PATIENCE) {
      this.#hangUp();
      this.#onClose(1006);
    } else if (!this.#askedAt && now - this.#heardAt > SILENCE) {
      this.#askedAt = now;
      this.send("live", null);
    }
  }

  #hear(frame) {
    this.#heardAt = Date.now();
    this.#askedAt = 0;
    for (const [verb, payload] of Object.entries(frame)) this.#on.heard(verb, payload);
  }
}

// The element

class MoiJobs extends HTMLElement {
  #rows = new Map();
  // The elements outside of rows that have a `data-moi`.
  #parts = [];
  // Words, and the addresses of our own pages.
  #site;
  #beat = 0;
  #isLive = false;
  // Ids met since a snapshot began, or null outside of one.
  #seen = null;
  // How many rows stand side by side at most, how many there are, and how many were sent of them.
  #limit = Infinity;
  #size = 0;
  // Of a root group the newest row stands at the top, of another the oldest.
  #isRoot = true;
  #covered = Infinity;
  #wantsMore = false;
  // Rows at the top that wait until nobody is about to press something below them.
  #newer = new Set();
  #isPointedAt = false;
  #isTabbedInto = false;
  // What has to be confirmed: { row, verb, timer }.
  #question = null;
  #endings = [];

  connectedCallback() {
    if (!this.#group) return;
    this.#limit = Number(this.getAttribute("limit")) || Infinity;
    this.#parts = [...this.querySelectorAll("[data-moi]:not([data-id] *)")];
    const language = this.closest("[lang]")?.lang || navigator.language;
    const pages = { job: this.getAttribute("job-page"), group: this.getAttribute("group-page") };
    this.#site = { words: new Words(this.#part("words"), language), pages };
    this.#adopt();
    for (const [event, react] of this.#reactions) this.addEventListener(event, react);
    this.#showWish();
    this.#live.begin();
    this.#beat = setInterval(() => this.#onBeat(Date.now()), 1000);
  }

  disconnectedCallback() {
    for (const [event, react] of this.#reactions) this.removeEventListener(event, react);
    clearInterval(this.#beat);
    this.#live.end();
  }

  get #group() {
    return this.getAttribute("group");
  }

  get #list() {
    return this.#part("members");
  }

  get #top() {
    return [...(this.#list?.children ?? [])];
  }

  /** Return the element of the div itself that has this `data-moi`. */
  #part(name) {
    return this.#parts.find((part) => part.dataset.moi === name);
  }

  #toggle(name, isShown) {
    this.#part(name)?.toggleAttribute("hidden", !isShown);
  }

  #onBeat(now) {
    if (document.hidden) return;
    for (const row of this.#rows.values()) if (row.info?.state === "running") row.tick(now);
  }

  // Rows

  /** Take over the rows that the server has rendered. */
  #adopt() {
    this.#rows.clear();
    const holes = new Map();
    for (const hole of this.querySelectorAll("[data-id] [data-moi]")) {
      const element = hole.closest("[data-id]");
      holes.set(element, [...(holes.get(element) ?? []), hole]);
    }
    for (const [element, own] of holes) {
      const row = new Row(element, own, this.#site);
      row.enable(false);
      this.#rows.set(row.id, row);
    }
    this.querySelectorAll("time").forEach((time) => localize(time, this.#site.words.locale));
  }

  #show(info, isNews) {
    this.#seen?.add(info.id);
    if (info.id === this.#group) {
      this.#size = info.size ?? 0;
      this.#isRoot = !info.parent;
      for (const part of this.#parts) fill(part, info, this.#site);
      if (!this.#seen) this.#tidy();
      return;
    }
    const row = this.#rows.get(info.id) ?? this.#blank(info);
    if (!row) return;
    const { info: before, isFinished } = row;
    if (!row.show(info)) return;
    if (!this.#rows.has(info.id)) this.#add(row);
    if (isNews && !isFinished && row.isFinished) this.#tell(info);
    // A snapshot shows again what has not changed.
    if (!before) row.emit("add", info);
    else if (info.version > before.version || !this.#seen) row.emit("update", info);
  }

  /** Return an empty row of a type, of which the site may have no template. */
  #blank(info) {
    const blank = this.#part(info.type === "group" ? "group" : "job");
    const element = blank?.content.firstElementChild?.cloneNode(true);
    const isHidden = info.path.split(":").some((id) => this.#rows.get(id)?.members === null);
    if (!element || !this.#list || isHidden) return null;
    element.dataset.version = 0;
    return new Row(element, [...element.querySelectorAll("[data-moi]")], this.#site);
  }

  #add(row) {
    row.enable(this.#isLive);
    this.#rows.set(row.id, row);
    this.#place(row);
    if (row.members) this.#gather(row);
    const isOnTop = row.element.parentElement === this.#list && row.element.nextElementSibling;
    if (isOnTop && this.#isBusy) this.#newer.add(row.id);
    if (!this.#seen) this.#tidy();
  }

  /** Put a row where it belongs: at the top of a root group the newest first, else the oldest. */
  #place({ element }) {
    const members = this.#rows.get(element.dataset.parent)?.members;
    const list = members ?? this.#list;
    const isOlder = (other) => other.dataset.created < element.dataset.created;
    if (members || !this.#isRoot) {
      let last = list.lastElementChild;
      while (last && last !== element && !isOlder(last)) last = last.previousElementSibling;
      list.insertBefore(element, last ? last.nextElementSibling : list.firstElementChild);
    } else {
      let next = list.firstElementChild;
      while (next && !isOlder(next)) next = next.nextElementSibling;
      list.insertBefore(element, next);
    }
  }

  /** Bring home the members that came before their group. */
  #gather(group) {
    for (const row of this.#rows.values()) {
      if (row.element.dataset.parent === group.id) this.#place(row);
    }
  }

  #remove({ id }) {
    const element = this.#rows.get(id)?.element;
    if (!element) return;
    if (element.contains(document.activeElement)) {
      this.#focusOn(element.nextElementSibling ?? element.previousElementSibling);
    }
    if (element.contains(this.#question?.row.element ?? null)) this.#dismiss();
    for (const { dataset } of [...element.querySelectorAll("[data-id]"), element]) {
      const gone = this.#rows.get(dataset.id);
      gone?.emit("remove", gone.info ?? { id: dataset.id });
      this.#rows.delete(dataset.id);
    }
    this.#newer.delete(id);
    element.remove();
    if (!this.#seen) this.#tidy();
  }

  /** Give the focus to a row, or to the whole when there is none that could take it. */
  #focusOn(element) {
    const target = element?.querySelector("[data-moi=remove]") ?? this;
    if (target === this) this.tabIndex = -1;
    target.focus();
  }

  /** Show no more rows than the limit, and say what that leaves. */
  #tidy() {
    let shown = 0;
    for (const element of this.#top) {
      const isNewer = this.#newer.has(element.dataset.id);
      element.hidden = isNewer || shown >= this.#limit;
      if (!isNewer) shown += 1;
    }
    this.#toggle("empty", this.#top.length === 0);
    const unsent = Math.max(0, this.#size - this.#covered);
    offer(this.#part("more"), this.#part("left"), unsent + Math.max(0, shown - this.#limit));
    const newer = this.#part("newer");
    if (!newer) return;
    newer.hidden = !this.#newer.size;
    setText(newer, this.#site.words.say("newer", this.#newer.size));
  }

  /** Of a group only the first so many members were sent. */
  #cut({ group, covered }) {
    if (group !== this.#group) {
      const row = this.#rows.get(group);
      if (!row) return;
      row.covered = covered;
      row.showLeft();
      return;
    }
    this.#covered = covered;
    if (this.#wantsMore) this.#limit = Math.max(this.#limit, this.#top.length);
    this.#wantsMore = false;
    if (!this.#seen) this.#tidy();
  }

  // Endings

  /** Tell a screen reader which jobs have ended, those of a short while at once. */
  #tell(info) {
    if (this.#endings.length === 0) setTimeout(() => this.#sayEndings(), 200);
    this.#endings.push(`${info.name}: ${this.#site.words.status(info)}`);
    const long = this.getAttribute("notify");
    if (long !== null && document.hidden && runTime(info, 0) >= Number(long)) {
      notify(info, this.#site.words.status(info));
    }
  }

  #sayEndings() {
    const said = this.#part("said");
    if (said) said.textContent = this.#endings.join("; ");
    this.#endings = [];
  }

  #showWish() {
    const button = this.#part("notify");
    if (!button) return;
    button.hidden = !this.hasAttribute("notify") || !wish.isPossible;
    button.setAttribute("aria-pressed", wish.isOn);
  }

  // What people do

  #reactions = [
    ["click", (event) => this.#onClick(event)],
    ["keydown", (event) => this.#onKey(event)],
    // The question keeps the focus, and so stays, while somebody presses where it is.
    ["mousedown", (event) => this.#isAsked(event.target) && event.preventDefault()],
    ["focusin", (event) => this.#onFocus(event.target)],
    ["focusout", (event) => this.#onBlur(event)],
    ["pointerover", (event) => this.#onPointer(event.target)],
    ["pointerleave", () => this.#onPointer(null)],
  ];

  #onClick(event) {
    const button = event.target.closest("button[data-moi]");
    if (!button) return;
    const verb = button.dataset.moi;
    const row = this.#rows.get(button.closest("[data-id]")?.dataset.id);
    this.#toggle("error", false);
    if (!row) this.#own[verb]?.();
    else if (verb === "toggle") row.toggle();
    else if (verb === "confirm") this.#confirm();
    else if (row.questionFor(verb)) this.#ask(row, verb);
    else this.#live.send(verb, [row.id]);
  }

  /** What the buttons of the div itself do. */
  #own = {
    more: () => this.#showMore(),
    newer: () => this.#showNewer(),
    notify: () => wish.toggle().then(() => this.#showWish()),
  };

  /** Show more of the rows at the top: those that are here, or the next ones of the server. */
  #showMore() {
    const here = this.#top.length;
    if (here > this.#limit) {
      this.#limit = here;
      this.#tidy();
    } else {
      this.#wantsMore = true;
      this.#live.send("more", [this.#group]);
    }
  }

  /** Ask once more, where the buttons were. */
  #ask(row, verb) {
    this.#dismiss();
    const timer = setTimeout(() => this.#dismiss(true), QUESTION);
    this.#question = { row, verb, timer };
    const button = row.hole("confirm");
    button.textContent = row.questionFor(verb);
    button.hidden = false;
    row.element.dataset.asking = verb;
    button.focus();
  }

  #confirm() {
    const { row, verb } = this.#question;
    this.#dismiss(true);
    this.#live.send(verb, [row.id]);
  }

  /** Take a question back; the button that led to it gets the focus if that was on the question. */
  #dismiss(isFocused = false) {
    const asked = this.#question;
    if (!asked) return;
    this.#question = null;
    clearTimeout(asked.timer);
    delete asked.row.element.dataset.asking;
    if (isFocused) asked.row.hole(asked.verb)?.focus();
    asked.row.hole("confirm").hidden = true;
  }

  #isAsked(element) {
    return Boolean(this.#question?.row.hole("confirm").parentElement.contains(element));
  }

  #isConfirm(element) {
    return Boolean(this.#question?.row.hole("confirm").contains(element));
  }

  #onKey(event) {
    if (!this.#isConfirm(event.target)) return;
    if (event.key === "Escape") this.#dismiss(true);
    // The key that asked the question, still held down, does not answer it.
    else if (event.repeat) event.preventDefault();
  }

  get #isBusy() {
    return this.#isPointedAt || this.#isTabbedInto;
  }

  #isInList(element) {
    const places = [this.#list, this.#part("newer")];
    return places.some((place) => place && element && place.contains(element));
  }

  #onPointer(target) {
    this.#isPointedAt = this.#isInList(target);
    this.#settle();
  }

  #onFocus(target) {
    this.#isTabbedInto = this.#isInList(target) && target.matches(":focus-visible");
    this.#settle();
  }

  #onBlur({ target, relatedTarget }) {
    if (this.#isConfirm(target)) this.#dismiss();
    if (!this.#isInList(relatedTarget)) this.#isTabbedInto = false;
    this.#settle();
  }

  /** Show what was held back once nothing speaks against it. */
  #settle() {
    if (this.#isBusy || !this.#newer.size) return;
    this.#newer.clear();
    this.#tidy();
  }

  #showNewer() {
    this.#newer.clear();
    this.#tidy();
    this.#focusOn(this.#top[0]);
  }

  // The connection

  #live = new Live(() => this.getAttribute("socket"), {
    opened: () => this.#live.send("watch", { [this.#group]: Math.min(this.#limit, MOST_ROWS) }),
    heard: (verb, payload) => this.#verbs[verb]?.(payload),
    lost: (isFinal) => this.#onLost(isFinal),
  });

  #verbs = {
    add: (info) => this.#show(info, true),
    update: (info) => this.#show(info, true),
    get: (info) => this.#show(info, this.#isLive),
    remove: (info) => this.#remove(info),
    more: (cut) => this.#cut(cut),
    sync: ({ complete }) => (complete ? this.#endSnapshot() : this.#beginSnapshot()),
    live: (isLive) => isLive || this.#setLive(false),
    error: (error) => this.#complain(error),
  };

  #beginSnapshot() {
    this.#seen = new Set();
    this.#covered = Infinity;
    for (const row of this.#rows.values()) row.covered = Infinity;
  }

  /** What a whole snapshot has not shown is no longer there. */
  #endSnapshot() {
    const gone = [...this.#rows.keys()].filter((id) => !this.#seen.has(id));
    gone.forEach((id) => this.#remove({ id }));
    this.#seen = null;
    for (const row of this.#rows.values()) row.showLeft();
    this.#tidy();
    this.#live.succeeded();
    this.#setLive(true);
  }

  #onLost(isFinal) {
    this.#seen = null;
    this.#setLive(false);
    this.#toggle("offline", !isFinal);
    this.#toggle("refused", isFinal);
  }

  #setLive(isLive) {
    this.#isLive = isLive;
    this.toggleAttribute("live", isLive);
    this.#toggle("offline", !isLive);
    for (const row of this.#rows.values()) row.enable(isLive);
    const more = this.#part("more");
    if (more) more.disabled = !isLive;
  }

  #complain({ verb, reason }) {
    const error = this.#part("error");
    if (!error) return;
    const [failure, hole] = ["failure", "reason"].map((name) => this.#part(name));
    if (failure) failure.textContent = this.#site.words.say(`${verb}-failed`);
    (hole ?? error).textContent = reason;
    error.hidden = false;
  }
}

/** Return the last pieces of output, with as many lines as a page keeps, or some more. */
function lastOf(pieces) {
  let first = pieces.length;
  for (let lines = 0; first > 0 && lines <= MOST_LINES; first -= 1) {
    lines += pieces[first - 1][1].split("\n").length - 1;
  }
  return pieces.slice(first);
}

/** Output of a job in a <pre>: colours become classes, \r starts a line anew, the oldest lines go. */
class Output {
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

/** Return the markup of a part, but for the token that is another one each time. */
function contentOf(part) {
  const copy = part.cloneNode(true);
  copy.querySelector("[name=csrfmiddlewaretoken]")?.remove();
  return copy.outerHTML;
}

/** <moi-job>: keeps the page of one job as it is in Redis, and appends what the job prints. */
class MoiJob extends HTMLElement {
  #output = null;
  #contents = new WeakMap();
  #version = 0;
  #timer = 0;
  #live = new Live(() => this.getAttribute("socket"), {
    opened: () => this.#watch(),
    heard: (verb, payload) => this.#verbs[verb]?.(payload),
    lost: (isFinal) => this.#toggle(isFinal ? "refused" : "offline", true),
  });

  connectedCallback() {
    for (const part of this.querySelectorAll("[data-moi-part]")) this.#take(part);
    this.#live.begin();
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#live.end();
  }

  get #id() {
    return this.getAttribute("job");
  }

  #part(name) {
    return this.querySelector(`[data-moi="${name}"]`);
  }

  #toggle(name, isShown) {
    this.#part(name)?.toggleAttribute("hidden", !isShown);
  }

  #watch() {
    this.#output = null; // it is sent again, from its last part on
    this.#live.send("watch", [this.#id]);
    this.#live.send("log", [this.#id]);
  }

  #verbs = {
    add: (info) => this.#change(info),
    update: (info) => this.#change(info),
    get: (info) => this.#change(info),
    remove: (info) => this.#change(info),
    log: (output) => this.#print(output),
    sync: ({ complete }) => complete && this.#settle(),
    live: (isLive) => isLive || this.#toggle("offline", true),
  };

  #settle() {
    this.#live.succeeded();
    this.toggleAttribute("live", true);
    this.#toggle("offline", false);
  }

  #change({ version }) {
    if (version < this.#version) return;
    this.#version = version;
    // Several changes in a short while are fetched as one.
    this.#timer ||= setTimeout(() => this.#refresh(), 100);
  }

  /** Put what the server shows now in place of the parts that have changed. */
  async #refresh() {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    this.#timer = 0;
    if (!response.ok || response.redirected) return location.reload();
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of this.querySelectorAll("[data-moi-part]")) {
      const fresh = page.querySelector(`[data-moi-part="${part.dataset.moiPart}"]`);
      if (!fresh || contentOf(fresh) === this.#contents.get(part)) continue;
      this.#take(document.adoptNode(fresh));
      fresh.open = part.open;
      const focused = part.contains(document.activeElement) ? document.activeElement.value : null;
      part.replaceWith(fresh);
      if (focused) fresh.querySelector(`[value="${CSS.escape(focused)}"]`)?.focus();
    }
  }

  /** Remember what the server has made of a part, and show its times as the viewer reads them. */
  #take(part) {
    this.#contents.set(part, contentOf(part));
    part.querySelectorAll("time").forEach(localize);
  }

  #print({ at, pieces }) {
    const element = this.#part("output");
    if (!element) return;
    if (!this.#output) {
      this.#output = new Output(element);
      this.#toggle("output-cut", at > 0);
    }
    this.#toggle("output-section", true);
    this.#output.append(pieces);
  }
}

customElements.define("moi-jobs", MoiJobs);
customElements.define("moi-job", MoiJob);

// Times that other parts of the page show.
for (const time of document.querySelectorAll("time[data-moi-time]")) localize(time);
