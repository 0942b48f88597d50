// <moi-panel>: keeps the operator's panel as things are.
//
// The websocket says that there is news. Then the page is fetched again, and every part that has
// `data-live` is made like the new one: all words and all markup come from the server's templates.

const { Live } = await moiModule("live");
const { become, keyOf } = await moiModule("morph");
const { Refresh } = await moiModule("refresh");
const { localeOf, localize } = await moiModule("times");

/** Show the times of a part in the zone and the manner of the viewer. */
function localizeAll(part, locale) {
  for (const time of part.querySelectorAll("time")) localize(time, locale);
  for (const mark of part.querySelectorAll("[data-time]")) {
    const date = new Date(mark.dataset.time);
    mark.textContent = date.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" });
  }
}

class MoiPanel extends HTMLElement {
  #refresh = new Refresh(() => location.href, {
    fresh: (page) => this.#take(page),
    failed: () => this.#setLive(false),
    refused: () => this.#refuse(),
  });

  connectedCallback() {
    if (!this.#part("jobs")) return;
    localizeAll(this, localeOf(this));
    const zone = this.querySelector("[data-zone]");
    if (zone) zone.hidden = true;
    this.#offerAll();
    this.#part("jobs").addEventListener("pointerleave", () => this.#refresh.wish());
    this.#refresh.begin();
    this.#live.begin();
  }

  disconnectedCallback() {
    this.#refresh.end();
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

  #take(page) {
    const panel = page.querySelector("moi-panel");
    if (!panel) {
      this.#refuse();
      return;
    }
    localizeAll(panel, localeOf(this));
    this.#update(panel);
    this.#setLive(this.#live.isOpen);
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
      this.#refresh.wish();
    },
    live: (isLive) => (isLive ? this.#refresh.wish() : this.#setLive(false)),
    error: ({ verb }) => verb === "news" && this.#refuse(),
  };

  #setLive(isLive) {
    this.toggleAttribute("live", isLive);
    this.#show("offline", !isLive);
  }

  /** Stop for good: this user may not see it any more. */
  #refuse() {
    this.#refresh.end();
    this.#live.end();
    this.toggleAttribute("live", false);
    this.#show("offline", false);
    this.#show("refused", true);
  }
}

customElements.define("moi-panel", MoiPanel);
