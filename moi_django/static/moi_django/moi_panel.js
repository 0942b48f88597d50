// <moi-panel>: keeps the operator's panel as things are.
//
// The websocket says that there is news. Then the page is fetched again, and every part that has
// `data-live` is made like the new one: all words and all markup come from the server's templates.

const { LiveElement } = await moiModule("live_element");
const { keyOf, morph } = await moiModule("morph");
const { PageRefresher } = await moiModule("page_refresher");
const { localeOf, localizeTimes } = await moiModule("time_format");

/** Show the times of a part, and those below the plots, as the viewer writes them. */
function localizeAll(part, locale) {
  localizeTimes(part, locale);
  for (const mark of part.querySelectorAll("[data-time]")) {
    const date = new Date(mark.dataset.time);
    mark.textContent = date.toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit" });
  }
}

class MoiPanel extends LiveElement {
  #refresher = new PageRefresher(() => location.href, {
    fetched: (page) => this.#showPage(page),
    failed: () => this.setLive(false),
    refused: () => this.refuse(),
  });

  connectedCallback() {
    if (!this.#findLive("jobs")) return;
    localizeAll(this, localeOf(this));
    this.showPart("zone", false);
    this.#offerAll();
    this.#findLive("jobs").addEventListener("pointerleave", () => this.#refresher.schedule());
    this.#refresher.start();
    this.connection.start();
  }

  stop() {
    this.#refresher.stop();
    super.stop();
  }

  findPart(name) {
    return this.querySelector(`[data-${name}]`);
  }

  #findLive(name) {
    return this.querySelector(`[data-live="${name}"]`);
  }

  // The connection

  subscribe() {
    // Nothing of one's own jobs, but news of all.
    this.connection.send("watch", []);
    this.connection.send("news", null);
  }

  verbs = {
    news: () => {
      this.connection.resetRetryDelay();
      this.#refresher.schedule();
    },
    live: (isLive) => (isLive ? this.#refresher.schedule() : this.setLive(false)),
    error: ({ verb }) => verb === "news" && this.refuse(),
  };

  // The page

  #showPage(page) {
    const panel = page.querySelector("moi-panel");
    if (!panel) return this.refuse();
    localizeAll(panel, localeOf(this));
    for (const fresh of panel.querySelectorAll("[data-live]")) {
      const part = this.#findLive(fresh.dataset.live);
      if (!part) continue;
      if (fresh.dataset.live === "jobs") this.#morphJobs(part, fresh);
      else morph(part, fresh);
    }
    this.#offerOthers();
    this.setLive(this.connection.isOpen);
  }

  /** Bring the list up to date, but move no row that somebody is about to click or has chosen. */
  #morphJobs(list, fresh) {
    const isHeld = list.matches(":hover, :focus-within") || list.querySelector(":checked");
    const keys = (rows) => [...rows.children].map(keyOf).join();
    this.showPart("held", isHeld && keys(list) !== keys(fresh));
    if (!isHeld) return morph(list, fresh);
    const rows = new Map([...fresh.children].map((row) => [keyOf(row), row]));
    for (const row of list.children) {
      const found = rows.get(keyOf(row));
      if (found) morph(row, found);
    }
  }

  // Boxes

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
    const others = this.#findLive("all");
    if (!others) return;
    const boxes = [...this.querySelectorAll("input[name=id]")];
    others.hidden = boxes.length === 0 || !boxes.every((box) => box.checked);
    const box = others.querySelector("input");
    if (others.hidden && box) box.checked = false;
  }
}

customElements.define("moi-panel", MoiPanel);
