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
// of life; time it has to give one.
const LONGEST_WAIT = 30_000;
const SILENCE = 15_000;
const PATIENCE = 10_000;
// Greatest number of rows to ask for at once, and of lines of output that a page keeps.
const MOST_ROWS = 1_000;
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

/** Return a time of an info object as `new Date` reads it. */
function isoOf(date) {
  return date ? `${date.replace(" ", "T")}Z` : "";
}

/** Show the time of a <time> in the zone and the manner of the viewer. */
function localize(time) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const isToday = date.toDateString() === new Date().toDateString();
  time.textContent = isToday
    ? date.toLocaleTimeString(undefined, { timeStyle: "medium" })
    : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  time.title = date.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
}

/** Fill one hole of a row. */
function fill(hole, info, pages) {
  const name = hole.dataset.moi;
  if (name === "link") {
    const link = linkOf(info, pages);
    link ? hole.setAttribute("href", link) : hole.removeAttribute("href");
  } else if (name === "totals") {
    fillTotals(hole, info.totals ?? {});
  } else if (hole instanceof HTMLTimeElement) {
    hole.dateTime = isoOf(info[name]);
    hole.textContent = "";
    localize(hole);
  } else if (name in info && hole.textContent !== textOf(info[name])) {
    hole.textContent = textOf(info[name]);
  }
}

/** Show how many jobs of a group are in which state: as lengths of a bar, or as numbers. */
function fillTotals(hole, totals) {
  let start = 0;
  for (const part of hole.querySelectorAll("[data-part]")) {
    const states = PARTS[part.dataset.part] ?? [];
    const count = states.reduce((sum, state) => sum + (totals[state] ?? 0), 0);
    if (part instanceof SVGElement) {
      part.setAttribute("x", start);
      part.setAttribute("width", count);
    } else {
      part.hidden = count === 0;
      part.querySelector("[data-moi=count]").textContent = count;
    }
    start += count;
  }
  if (hole instanceof SVGElement) hole.setAttribute("viewBox", `0 0 ${start || 1} 1`);
}

function textOf(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Offer to show more of something, if there is more. */
function offer(button, hole, left) {
  if (button) button.hidden = !(left > 0);
  if (hole) hole.textContent = Math.max(0, left);
}

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

/** The <li> of a job or group, and the holes that are its own. */
class Row {
  constructor(element, holes) {
    this.element = element;
    this.holes = holes;
    this.members = this.#hole("members");
    // Of a group: how many members it has, and how many of them the server has sent.
    this.size = 0;
    this.covered = Infinity;
  }

  #hole(name) {
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
  show(info, pages) {
    if (info.version < Number(this.element.dataset.version)) return false;
    Object.assign(this.element.dataset, {
      id: info.id,
      parent: info.parent ?? "",
      version: info.version,
      created: info.date_created ?? "",
      state: info.state ?? "",
      attempts: info.attempts ?? 1,
    });
    this.element.toggleAttribute(
      "data-unfinished",
      Object.keys(info.totals ?? {}).some((state) => !FINISHED.has(state)),
    );
    this.size = info.size ?? 0;
    for (const hole of this.holes) fill(hole, info, pages);
    this.showLeft();
    return true;
  }

  /** Show how many members there are besides those that are shown. */
  showLeft() {
    offer(this.#hole("more"), this.#hole("left"), this.size - this.covered);
  }

  /** Show or hide the members of a group. */
  toggle() {
    const isOpen = this.members.toggleAttribute("hidden") === false;
    this.#hole("toggle").setAttribute("aria-expanded", isOpen);
    this.element.toggleAttribute("data-closed", !isOpen);
  }
}

class MoiJobs extends HTMLElement {
  #rows = new Map();
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
  #endings = [];

  connectedCallback() {
    if (!this.#group) return;
    this.#limit = Number(this.getAttribute("limit")) || Infinity;
    this.#adopt();
    this.addEventListener("click", this.#onClick);
    this.#live.begin();
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#onClick);
    this.#live.end();
  }

  get #group() {
    return this.getAttribute("group");
  }

  get #pages() {
    const pages = { job: this.getAttribute("job-page"), group: this.getAttribute("group-page") };
    return Object.fromEntries(Object.entries(pages).filter(([, address]) => address));
  }

  /** Return the element of the div itself that has this `data-moi`. */
  #part(name) {
    return this.querySelector(`[data-moi="${name}"]:not([data-id] *)`);
  }

  #toggle(name, isShown) {
    this.#part(name)?.toggleAttribute("hidden", !isShown);
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
      const row = new Row(element, own);
      row.enable(false);
      this.#rows.set(row.id, row);
    }
    this.querySelectorAll("time").forEach(localize);
  }

  #show(info, isNews) {
    this.#seen?.add(info.id);
    if (info.id === this.#group) {
      this.#size = info.size ?? 0;
      this.#isRoot = !info.parent;
      if (!this.#seen) this.#tidy();
      return;
    }
    const row = this.#rows.get(info.id);
    const wasFinished = row?.isFinished ?? false;
    const isShown = row ? row.show(info, this.#pages) : this.#add(info);
    if (isShown && isNews && !wasFinished && FINISHED.has(info.state)) this.#announce(info);
  }

  #add(info) {
    const blank = this.#part(info.type === "group" ? "group" : "job");
    const element = blank?.content.firstElementChild?.cloneNode(true);
    if (!element) return false;
    const row = new Row(element, [...element.querySelectorAll("[data-moi]")]);
    element.dataset.version = 0;
    row.show(info, this.#pages);
    row.enable(this.#isLive);
    this.#rows.set(info.id, row);
    this.#place(row);
    if (row.members) this.#gather(row);
    if (!this.#seen) this.#tidy();
    return true;
  }

  /** Put a row where it belongs: at the top of a root group the newest first, else the oldest. */
  #place(row) {
    const { element } = row;
    const members = this.#rows.get(element.dataset.parent)?.members;
    const list = members ?? this.#part("members");
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

  #remove(id) {
    const row = this.#rows.get(id);
    if (!row) return;
    const { element } = row;
    if (element.contains(document.activeElement)) this.#moveFocus(element);
    for (const below of element.querySelectorAll("[data-id]")) this.#rows.delete(below.dataset.id);
    this.#rows.delete(id);
    element.remove();
    if (!this.#seen) this.#tidy();
  }

  /** Move the focus to the next row before the one that has it goes. */
  #moveFocus(element) {
    const next = element.nextElementSibling ?? element.previousElementSibling;
    const target = next?.querySelector("[data-moi=remove]") ?? this;
    if (target === this) this.tabIndex = -1;
    target.focus();
  }

  /** Show no more rows than the limit, and say what that leaves. */
  #tidy() {
    const top = this.#part("members").children;
    for (let index = 0; index < top.length; index += 1) top[index].hidden = index >= this.#limit;
    this.#toggle("empty", top.length === 0);
    const unsent = Math.max(0, this.#size - this.#covered);
    const left = unsent + Math.max(0, top.length - this.#limit);
    offer(this.#part("more"), this.#part("left"), left);
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
    if (this.#wantsMore) this.#limit = Math.max(this.#limit, this.#part("members").children.length);
    this.#wantsMore = false;
    if (!this.#seen) this.#tidy();
  }

  /** Tell a screen reader which jobs have ended, those of a short while at once. */
  #announce(info) {
    if (this.#endings.length === 0) setTimeout(() => this.#sayEndings(), 200);
    this.#endings.push(`${info.name}: ${info.status}`);
  }

  #sayEndings() {
    const said = this.#part("said");
    if (said) said.textContent = this.#endings.join("; ");
    this.#endings = [];
  }

  // What people do

  #onClick = (event) => {
    const button = event.target.closest("button[data-moi]");
    if (!button) return;
    const verb = button.dataset.moi;
    const row = this.#rows.get(button.closest("[data-id]")?.dataset.id);
    this.#toggle("error", false);
    if (verb === "toggle") row?.toggle();
    else if (row) this.#send(verb, [row.id]);
    else if (verb === "more") this.#showMore();
  };

  /** Show more of the rows at the top: those that are here, or the next ones of the server. */
  #showMore() {
    const here = this.#part("members").children.length;
    if (here > this.#limit) {
      this.#limit = here;
      this.#tidy();
    } else {
      this.#wantsMore = true;
      this.#send("more", [this.#group]);
    }
  }

  // The connection

  #live = new Live(() => this.getAttribute("socket"), {
    opened: () => this.#send("watch", { [this.#group]: Math.min(this.#limit, MOST_ROWS) }),
    heard: (verb, payload) => this.#verbs[verb]?.(payload),
    lost: (isFinal) => this.#onLost(isFinal),
  });

  #onLost(isFinal) {
    this.#seen = null;
    this.#setLive(false);
    if (!isFinal) return;
    this.#toggle("offline", false);
    this.#toggle("refused", true);
  }

  #send(verb, payload) {
    this.#live.send(verb, payload);
  }

  #verbs = {
    add: (info) => this.#show(info, true),
    update: (info) => this.#show(info, true),
    get: (info) => this.#show(info, this.#isLive),
    remove: (info) => this.#remove(info.id),
    more: (cut) => this.#cut(cut),
    sync: ({ complete }) => (complete ? this.#endSnapshot() : this.#beginSnapshot()),
    live: (isLive) => isLive || this.#setLive(false),
    error: ({ reason }) => this.#complain(reason),
  };

  #beginSnapshot() {
    this.#seen = new Set();
    this.#covered = Infinity;
    for (const row of this.#rows.values()) row.covered = Infinity;
  }

  /** What a whole snapshot has not shown is no longer there. */
  #endSnapshot() {
    const gone = [...this.#rows.keys()].filter((id) => !this.#seen.has(id));
    gone.forEach((id) => this.#remove(id));
    this.#seen = null;
    for (const row of this.#rows.values()) row.showLeft();
    this.#tidy();
    this.#live.succeeded();
    this.#setLive(true);
  }

  #setLive(isLive) {
    this.#isLive = isLive;
    this.toggleAttribute("live", isLive);
    this.#toggle("offline", !isLive);
    for (const row of this.#rows.values()) row.enable(isLive);
    const more = this.#part("more");
    if (more) more.disabled = !isLive;
  }

  #complain(reason) {
    const error = this.#part("error");
    if (!error) return;
    error.textContent = reason;
    error.hidden = false;
  }
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

  append(stream, text) {
    const isAtEnd = this.#isAtEnd();
    for (const part of text.split(/(\n|\r(?!\n)|\x1b\[[0-?]*[ -/]*[@-~])/)) {
      if (part === "\n") {
        this.#line.append("\n");
        this.#line = this.#begin();
      } else if (part === "\r") this.#line.textContent = "";
      else if (part.startsWith("\x1b[")) this.#style(part);
      else if (part) this.#write(stream, part.replaceAll("\r", ""));
    }
    while (this.#element.childElementCount > MOST_LINES) this.#element.firstElementChild.remove();
    if (isAtEnd) this.#element.scrollTop = this.#element.scrollHeight;
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
    for (const [stream, text] of pieces) this.#output.append(stream, text);
  }
}

customElements.define("moi-jobs", MoiJobs);
customElements.define("moi-job", MoiJob);

// Times that other parts of the page show.
for (const time of document.querySelectorAll("time[data-moi-time]")) localize(time);
