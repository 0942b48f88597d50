// <moi-jobs>: keeps the rows that the server has rendered as they are in Redis.
//
// All words and all markup come from the templates. This script fills the elements that have
// `data-moi` (a field of the info object, or link, remove, members, ...) with text, never with HTML.

const FINISHED = new Set(["success", "failed", "cancelled", "lost"]);
// Close codes after which another attempt would end the same way.
const FINAL = new Set([4400, 4401, 4403, 4404]);
// Milliseconds: longest wait between attempts; silence after which the server is asked for a sign
// of life; time it has to give one.
const LONGEST_WAIT = 30_000;
const SILENCE = 15_000;
const PATIENCE = 10_000;

/** Return where a job or group leads, or null when there is nothing safe to link to. */
export function linkOf(info) {
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
function fill(hole, info) {
  const name = hole.dataset.moi;
  if (name === "link") {
    const link = linkOf(info);
    link ? hole.setAttribute("href", link) : hole.removeAttribute("href");
  } else if (hole instanceof HTMLTimeElement) {
    hole.dateTime = isoOf(info[name]);
    hole.textContent = "";
    localize(hole);
  } else if (name in info && hole.textContent !== textOf(info[name])) {
    hole.textContent = textOf(info[name]);
  }
}

function textOf(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The <li> of a job or group, and the holes that are its own. */
class Row {
  constructor(element, holes) {
    this.element = element;
    this.holes = holes;
    this.members = holes.find((hole) => hole.dataset.moi === "members") ?? null;
  }

  get id() {
    return this.element.dataset.id;
  }

  get isFinished() {
    return FINISHED.has(this.element.dataset.state);
  }

  /** Let the buttons be used, or not. */
  enable(isOn) {
    for (const hole of this.holes) if (hole instanceof HTMLButtonElement) hole.disabled = !isOn;
  }

  /** Show an info object unless a newer one is shown; tell whether it was shown. */
  show(info) {
    if (info.version < Number(this.element.dataset.version)) return false;
    Object.assign(this.element.dataset, {
      id: info.id,
      parent: info.parent ?? "",
      version: info.version,
      created: info.date_created ?? "",
      state: info.state ?? "",
      attempts: info.attempts ?? 1,
    });
    for (const hole of this.holes) fill(hole, info);
    return true;
  }
}

class MoiJobs extends HTMLElement {
  #rows = new Map();
  #socket = null;
  #isLive = false;
  #attempts = 0;
  #retry = 0;
  #watchdog = 0;
  #heardAt = 0;
  #askedAt = 0;
  // Ids met since a snapshot began, or null outside of one.
  #seen = null;
  #endings = [];

  connectedCallback() {
    if (!this.#group) return;
    this.#adopt();
    this.addEventListener("click", this.#onClick);
    window.addEventListener("online", this.#onOnline);
    this.#connect();
    this.#watchdog = setInterval(() => this.#checkPulse(), PATIENCE / 2);
  }

  disconnectedCallback() {
    window.removeEventListener("online", this.#onOnline);
    this.removeEventListener("click", this.#onClick);
    clearTimeout(this.#retry);
    clearInterval(this.#watchdog);
    this.#hangUp();
  }

  get #group() {
    return this.getAttribute("group");
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
    for (const [element, own] of holes) this.#rows.set(element.dataset.id, new Row(element, own));
    this.querySelectorAll("time").forEach(localize);
  }

  #show(info, isNews) {
    this.#seen?.add(info.id);
    if (info.id === this.#group) return;
    const row = this.#rows.get(info.id);
    const wasFinished = row?.isFinished ?? false;
    const isShown = row ? row.show(info) : this.#add(info);
    if (isShown && isNews && !wasFinished && FINISHED.has(info.state)) this.#announce(info);
  }

  #add(info) {
    const blank = this.#part(info.type === "group" ? "group" : "job");
    const element = blank?.content.firstElementChild?.cloneNode(true);
    if (!element) return false;
    const row = new Row(element, [...element.querySelectorAll("[data-moi]")]);
    element.dataset.version = 0;
    row.show(info);
    row.enable(this.#isLive);
    this.#rows.set(info.id, row);
    this.#place(row);
    if (row.members) this.#gather(row);
    if (!this.#seen) this.#tidy();
    return true;
  }

  /** Put a row where it belongs: at the top the newest first, in a group the oldest. */
  #place(row) {
    const { element } = row;
    const members = this.#rows.get(element.dataset.parent)?.members;
    const list = members ?? this.#part("members");
    const isOlder = (other) => other.dataset.created < element.dataset.created;
    if (members) {
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
    const limit = Number(this.getAttribute("limit")) || Infinity;
    for (let index = 0; index < top.length; index += 1) top[index].hidden = index >= limit;
    const older = Math.max(0, top.length - limit);
    this.#toggle("empty", top.length === 0);
    this.#toggle("older", older > 0);
    const count = this.#part("older-count");
    if (count) count.textContent = older;
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
    const button = event.target.closest("[data-moi=remove], [data-moi=cancel]");
    const id = button?.closest("[data-id]")?.dataset.id;
    if (!id) return;
    this.#toggle("error", false);
    this.#send(button.dataset.moi, [id]);
  };

  // The socket

  #connect() {
    clearTimeout(this.#retry);
    const address = new URL(this.getAttribute("socket"), document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.#socket = socket;
    this.#heardAt = Date.now();
    this.#askedAt = 0;
    socket.onopen = () => this.#send("watch", [this.#group]);
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
    this.#seen = null;
    this.#setLive(false);
    if (FINAL.has(code)) {
      this.#toggle("offline", false);
      this.#toggle("refused", true);
      return;
    }
    // Spread over the whole time, so a server that restarts is not stormed.
    const longest = Math.min(LONGEST_WAIT, 250 * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.#connect(), Math.random() * longest);
  }

  #onOnline = () => {
    if (!this.#socket && this.#part("refused")?.hidden !== false) this.#connect();
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
      this.#send("live", null);
    }
  }

  #send(verb, payload) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ [verb]: payload }));
    }
  }

  #hear(frame) {
    this.#heardAt = Date.now();
    this.#askedAt = 0;
    for (const [verb, payload] of Object.entries(frame)) this.#verbs[verb]?.(payload);
  }

  #verbs = {
    add: (info) => this.#show(info, true),
    update: (info) => this.#show(info, true),
    get: (info) => this.#show(info, this.#isLive),
    remove: (info) => this.#remove(info.id),
    sync: ({ complete }) => (complete ? this.#endSnapshot() : this.#beginSnapshot()),
    live: (isLive) => isLive || this.#setLive(false),
    error: ({ reason }) => this.#complain(reason),
  };

  #beginSnapshot() {
    this.#seen = new Set();
  }

  /** What a whole snapshot has not shown is no longer there. */
  #endSnapshot() {
    const gone = [...this.#rows.keys()].filter((id) => !this.#seen.has(id));
    gone.forEach((id) => this.#remove(id));
    this.#seen = null;
    this.#tidy();
    this.#attempts = 0;
    this.#setLive(true);
  }

  #setLive(isLive) {
    this.#isLive = isLive;
    this.toggleAttribute("live", isLive);
    this.#toggle("offline", !isLive);
    for (const row of this.#rows.values()) row.enable(isLive);
  }

  #complain(reason) {
    const error = this.#part("error");
    if (!error) return;
    error.textContent = reason;
    error.hidden = false;
  }
}

customElements.define("moi-jobs", MoiJobs);
