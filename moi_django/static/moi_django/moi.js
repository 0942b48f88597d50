// <moi-jobs>: keeps the rows that the server has rendered as they are in Redis.
// All words and all markup come from the templates.

const { Catalog } = await moiModule("catalog");
const { Confirmation } = await moiModule("confirmation");
const { JobList } = await moiModule("job_list");
const { LiveElement } = await moiModule("live_element");
const { notificationPreference, notifyEnd } = await moiModule("notifications");
const { PageRefresher } = await moiModule("page_refresher");
const { localeOf, localizeTime, runTime } = await moiModule("time_format");

// Maximum number of rows to ask for at once.
const MAX_ROWS = 1_000;
// Milliseconds in which endings are gathered before a screen reader is told of them.
const ANNOUNCEMENT_DELAY = 200;

class MoiJobs extends LiveElement {
  // The elements with a `data-moi` that are in no row.
  parts = [];
  confirmation = new Confirmation(this);
  #list = new JobList(this);
  #timer = 0;
  #endings = [];
  #refresher = new PageRefresher(() => location.href, { fetched: (page) => this.#showPage(page) });

  connectedCallback() {
    if (!this.group) return;
    this.#adopt();
    this.addEventListener("click", this.#onClick);
    this.#refresher.start(this.connection);
    this.connection.start();
    this.#timer = setInterval(() => this.#tick(Date.now()), 1000);
  }

  #adopt() {
    this.parts = [...this.querySelectorAll("[data-moi]:not([data-id] *)")];
    this.catalog = new Catalog(this.findPart("words"), localeOf(this));
    const pages = { job: this.getAttribute("job-page"), group: this.getAttribute("group-page") };
    this.#list.adopt({ catalog: this.catalog, pages });
    this.#showPreference();
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
    this.#refresher.stop();
    super.disconnectedCallback();
  }

  #tick(now) {
    this.#list.tick(now);
    const ids = this.isLive && !document.hidden ? this.#list.takePlacesDue(now) : [];
    if (ids.length) this.connection.send("get", ids);
  }

  /** Show the page as fetched while there is no connection, unless somebody is at a row or types. */
  #showPage(page) {
    const fresh = page.querySelectorAll("moi-jobs")[[...document.querySelectorAll("moi-jobs")].indexOf(this)];
    const isInUse = !this.#list.guard.isFree() || this.contains(document.activeElement);
    if (this.isLive || isInUse || fresh?.getAttribute("group") !== this.group) return;
    this.replaceChildren(...fresh.childNodes);
    this.#adopt();
    this.showLive(false);
  }

  get group() {
    return this.getAttribute("group");
  }

  findPart(name) {
    return this.parts.find((part) => part.dataset.moi === name);
  }

  // The connection
  subscribe() {
    this.connection.send("watch", { [this.group]: Math.min(this.#list.limit, MAX_ROWS) });
  }

  verbs = {
    add: (info) => this.#show(info, true),
    update: (info) => this.#show(info, true),
    get: (info) => ("place" in info ? this.#list.find(info.id)?.showPlace(info) : this.#show(info, this.isLive)),
    remove: ({ id }) => this.#list.remove(id),
    more: (sent) => this.#list.setCovered(sent),
    sync: ({ complete }) => (complete ? this.#endSnapshot() : this.#list.beginSnapshot()),
    live: (isLive) => isLive || this.setLive(false),
    error: (error) => this.#onError(error),
  };

  #show(info, isNews) {
    const hasEnded = this.#list.show(info);
    if (hasEnded && isNews) this.#announce(info);
  }

  #endSnapshot() {
    this.#list.endSnapshot();
    this.connection.resetRetryDelay();
    this.setLive(true);
  }

  #onError(error) {
    if (error.verb === "get") return; // nobody has pressed anything
    this.#list.find(error.id)?.clearPending();
    this.showError(error);
  }

  setLive(isLive) {
    // Without a connection, no answer could be sent.
    if (!isLive) this.confirmation.cancel(true);
    super.setLive(isLive);
    this.#list.enable(isLive);
  }

  // Endings
  /** Tell a screen reader which jobs have ended, and whoever looks elsewhere of long ones. */
  #announce(info) {
    const status = this.catalog.statusText(info);
    if (this.#endings.length === 0) setTimeout(() => this.#announceAll(), ANNOUNCEMENT_DELAY);
    this.#endings.push(`${info.name}: ${status}`);
    const minimum = this.getAttribute("notify");
    const isLong = minimum !== null && runTime(info, 0) >= Number(minimum);
    if (isLong && document.hidden) notifyEnd(info, status);
  }

  #announceAll() {
    this.findPart("said")?.replaceChildren(this.#endings.join("; "));
    this.#endings = [];
  }

  #showPreference() {
    const button = this.findPart("notify");
    if (!button) return;
    button.hidden = !this.hasAttribute("notify") || !notificationPreference.isAvailable;
    button.setAttribute("aria-pressed", notificationPreference.isOn);
  }

  // Buttons
  #onClick = (event) => {
    const button = event.target.closest("button[data-moi]");
    if (!button) return;
    if (!this.#list.guard.acceptsClick(event)) return event.preventDefault();
    const row = this.#list.find(button.closest("[data-id]")?.dataset.id);
    if (row && row === this.#list.head) {
      // Its buttons belong to a form, which does it where the page cannot.
      if (!this.isLive) return;
      event.preventDefault();
    }
    if (button.ariaDisabled === "true") return;
    this.showPart("error", false);
    const name = button.dataset.moi;
    if (!row) this.#actions[name]?.();
    else if (name === "toggle") this.#list.toggleCollapsed(row);
    else this.press(name, row);
  };

  /** What the buttons do that are in no row. */
  #actions = {
    more: () => this.#list.showMore() || this.connection.send("more", [this.group]),
    newer: () => this.#list.showNewer(),
    notify: () => notificationPreference.toggle().then(() => this.#showPreference()),
  };
}

customElements.define("moi-jobs", MoiJobs);

// Times that other parts of the page show.
for (const time of document.querySelectorAll("time[data-moi-time]")) localizeTime(time, localeOf(time));
