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
  const form = { hour: "numeric", minute: "2-digit" };
  for (const mark of part.querySelectorAll("[data-time]"))
    mark.textContent = new Date(mark.dataset.time).toLocaleTimeString(locale, form);
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
    this.#refresher.start(this.connection);
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
    news: () => (this.connection.resetRetryDelay(), this.#refresher.schedule()),
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
      if (fresh.dataset.live === "jobs") this.#morphJobs(part, fresh);
      else if (part) morph(part, fresh);
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
    for (const row of list.children) if (rows.has(keyOf(row))) morph(row, rows.get(keyOf(row)));
  }

  // Boxes

  #boxes(kind) {
    return this.querySelectorAll(`input[name=id]${kind}`);
  }

  /** Count what is chosen; offer to choose all jobs of the page, and then those of all pages. */
  #offerAll() {
    const all = this.querySelector("[data-all]");
    if (!all) return;
    all.hidden = false;
    all.form.addEventListener("change", ({ target }) => {
      if (target === all) for (const box of this.#boxes("")) box.checked = all.checked;
      this.#offerOthers();
    });
    this.#offerOthers();
  }

  #offerOthers() {
    const others = this.#findLive("all");
    if (!others) return;
    const number = this.#boxes(":checked").length;
    this.showPart("chosen", number > 0);
    this.querySelector("[data-chosen] output").textContent = number;
    others.hidden = !number || number < this.#boxes("").length;
    if (others.hidden) for (const box of others.children) box.control.checked = false;
  }
}

customElements.define("moi-panel", MoiPanel);
