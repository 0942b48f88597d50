// <moi-panel>: keeps the operator's panel as things are.
//
// The websocket says that there is news. Then the page is fetched again, and every part that has
// `data-live` is made like the new one: all words and all markup come from the server's templates.

// Static files may have a hash in their names, so modules find each other by their elements.
const load = (name) => import(document.querySelector(`script[data-moi-module="${name}"]`).src);
const { Live } = await load("live");
const { localeOf, localize } = await load("times");

// Milliseconds between two fetches at least.
const PAUSE = 1_000;
// What people have changed, and not the server.
const THEIRS = new Set(["open", "hidden"]);

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

/** Show the times of a part in the zone and the manner of the viewer. */
function localizeAll(part, locale) {
  for (const time of part.querySelectorAll("time")) localize(time, locale);
  for (const mark of part.querySelectorAll("[data-time]")) {
    const date = new Date(mark.dataset.time);
    mark.textContent = date.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" });
  }
}

/** Make a node like another one; what is the same stays, and with it focus, choice and selection. */
function become(node, fresh) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.nodeValue !== fresh.nodeValue) node.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (!THEIRS.has(name) && !fresh.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (!THEIRS.has(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  fill(node, fresh);
}

/** Make the children of an element like those of another one. */
function fill(element, fresh) {
  const wanted = new Set([...fresh.children].map(keyOf));
  const keyed = new Map();
  for (const child of [...element.children]) {
    const key = keyOf(child);
    if (key === null) continue;
    if (wanted.has(key)) keyed.set(key, child);
    else child.remove();
  }
  let next = element.firstChild;
  for (const child of fresh.childNodes) {
    const key = keyOf(child);
    const isAlike = next?.nodeName === child.nodeName && keyOf(next) === null && key === null;
    const match = key === null ? (isAlike ? next : null) : keyed.get(key);
    if (!match) {
      element.insertBefore(document.importNode(child, true), next);
      continue;
    }
    if (match === next) next = next.nextSibling;
    else element.insertBefore(match, next);
    become(match, child);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

class MoiPanel extends HTMLElement {
  #fetching = false;
  #hasNews = false;
  #notBefore = 0;
  #timer = 0;

  connectedCallback() {
    if (!this.#part("jobs")) return;
    localizeAll(this, localeOf(this));
    const zone = this.querySelector("[data-zone]");
    if (zone) zone.hidden = true;
    this.#offerAll();
    this.#part("jobs").addEventListener("pointerleave", this.#onNews);
    document.addEventListener("visibilitychange", this.#onNews);
    this.#live.begin();
  }

  disconnectedCallback() {
    document.removeEventListener("visibilitychange", this.#onNews);
    clearTimeout(this.#timer);
    this.#live.end();
  }

  #part(name) {
    return this.querySelector(`[data-live="${name}"]`);
  }

  #show(name, isShown) {
    this.querySelector(`[data-${name}]`)?.toggleAttribute("hidden", !isShown);
  }

  /** Offer to choose all jobs of the page at once, and then those of all pages. */
  #offerAll() {
    const all = this.querySelector("[data-all]");
    if (!all) return;
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of this.querySelectorAll("input[name=id]")) box.checked = all.checked;
    });
    all.form.addEventListener("change", () => this.#offerOthers());
    this.#offerOthers();
  }

  #offerOthers() {
    const others = this.#part("all");
    if (!others) return;
    const boxes = [...this.querySelectorAll("input[name=id]")];
    others.hidden = boxes.length === 0 || !boxes.every((box) => box.checked);
    const box = others.querySelector("input");
    if (others.hidden && box) box.checked = false;
  }

  // The page

  #onNews = () => {
    this.#hasNews = true;
    if (this.#fetching || this.#timer || document.hidden) return;
    const wait = Math.max(0, this.#notBefore - Date.now());
    this.#timer = setTimeout(() => this.#refresh(), wait);
  };

  async #refresh() {
    this.#timer = 0;
    this.#hasNews = false;
    this.#fetching = true;
    const begun = Date.now();
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      this.#take(response, await response.text());
    } catch {
      this.#setLive(false);
    }
    this.#fetching = false;
    // A server that is slow to answer is asked less often.
    this.#notBefore = Date.now() + Math.max(PAUSE, 3 * (Date.now() - begun));
    if (this.#hasNews) this.#onNews();
  }

  #take(response, text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const panel = page.querySelector("moi-panel");
    if (response.ok && panel && !response.redirected) {
      localizeAll(panel, localeOf(this));
      this.#update(panel);
      this.#setLive(this.#live.isOpen);
    } else if (response.status >= 500) {
      this.#setLive(false);
    } else {
      this.#refuse();
    }
  }

  #update(panel) {
    for (const fresh of panel.querySelectorAll("[data-live]")) {
      const part = this.#part(fresh.dataset.live);
      if (!part) continue;
      if (fresh.dataset.live === "jobs") this.#updateJobs(part, fresh);
      else become(part, fresh);
    }
    this.#offerOthers();
  }

  /** Bring the list up to date, but move no row that somebody is about to click or has chosen. */
  #updateJobs(list, fresh) {
    const isHeld = list.matches(":hover, :focus-within") || list.querySelector(":checked");
    const keys = (rows) => [...rows.children].map(keyOf).join();
    this.#show("held", isHeld && keys(list) !== keys(fresh));
    if (!isHeld) {
      become(list, fresh);
      return;
    }
    const rows = new Map([...fresh.children].map((row) => [keyOf(row), row]));
    for (const row of list.children) {
      const found = rows.get(keyOf(row));
      if (found) become(row, found);
    }
  }

  // The connection

  #live = new Live(() => this.getAttribute("socket"), {
    opened: () => {
      // Nothing of one's own jobs, but news of all.
      this.#live.send("watch", []);
      this.#live.send("news", null);
    },
    heard: (verb, payload) => this.#verbs[verb]?.(payload),
    lost: (isFinal) => (isFinal ? this.#refuse() : this.#setLive(false)),
  });

  #verbs = {
    news: () => {
      this.#live.succeeded();
      this.#onNews();
    },
    live: (isLive) => (isLive ? this.#onNews() : this.#setLive(false)),
    error: ({ verb }) => verb === "news" && this.#refuse(),
  };

  #setLive(isLive) {
    this.toggleAttribute("live", isLive);
    this.#show("offline", !isLive);
  }

  /** Stop for good: this user may not see it any more. */
  #refuse() {
    this.#live.end();
    this.toggleAttribute("live", false);
    this.#show("offline", false);
    this.#show("refused", true);
  }
}

customElements.define("moi-panel", MoiPanel);
