// <moi-job>: keeps the page of one job as it is in Redis, and appends what the job prints.
//
// Status, times and figures are filled in place, as in a row. What the server's templates make of the
// rest is fetched when that has changed, and the parts of the page become like it.

const { Catalog } = await moiModule("catalog");
const { Confirmation } = await moiModule("confirmation");
const { JobRow } = await moiModule("job_row");
const { LiveElement } = await moiModule("live_element");
const { morph } = await moiModule("morph");
const { PageRefresher } = await moiModule("page_refresher");
const { TerminalOutput } = await moiModule("terminal_output");
const { localeOf, localizeTimes } = await moiModule("time_format");

// The fields that change while a job runs and are in no part that is fetched.
const IN_PLACE = ["version", "status", "progress", "done", "total", "result"];

class MoiJob extends LiveElement {
  #row;
  confirmation = new Confirmation(this);
  #output = null;
  #timer = 0;
  // The other fields as the parts show them, or will in a moment.
  #fetched = "";
  #canFetch = true;
  // The page without the output, which comes by itself where there is a connection.
  #refresher = new PageRefresher(() => location.pathname + (location.search || "?") + (this.connection.hasOpened ? "&without=output" : ""), {
    fetched: (page) => this.#showPage(page),
    failed: () => this.#setCanFetch(false),
    // When the job is gone, the connection tells so, and why.
    refused: (isGone) => isGone || location.reload(),
  });

  connectedCallback() {
    this.catalog = new Catalog(this.findPart("words"), localeOf(this));
    const holes = [...this.querySelectorAll("[data-moi]")];
    this.#row = new JobRow(this.querySelector("[data-id]"), { catalog: this.catalog, pages: {} }, holes);
    localizeTimes(this, this.catalog.locale);
    this.addEventListener("click", this.#onClick);
    this.#refresher.start(this.connection);
    this.connection.start();
    this.#timer = setInterval(() => this.#tick(Date.now()), 1000);
  }

  #tick(now) {
    this.#row.tick(now);
    if (!this.isLive || document.hidden || !this.#row.isPlaceDue(now)) return;
    this.connection.send("get", [this.#row.takePlaceTurn(now)]);
  }

  stop() {
    clearInterval(this.#timer);
    this.#refresher.stop();
    super.stop();
  }

  // The connection

  subscribe() {
    this.#output = null; // it is sent again, from its last part on
    this.connection.send("watch", [this.#row.id]);
    this.connection.send("log", [this.#row.id]);
  }

  verbs = {
    add: (info) => this.#show(info),
    update: (info) => this.#show(info),
    get: (info) => ("place" in info ? this.#row.showPlace(info) : this.#show(info)),
    remove: () => this.#end("removed"),
    log: (output) => this.#print(output),
    sync: ({ complete }) => complete && this.#endSnapshot(),
    live: (isLive) => isLive || this.setLive(false),
    error: (error) => this.#onError(error),
  };

  #endSnapshot() {
    this.connection.resetRetryDelay();
    this.setLive(true);
    // Whatever was missed meanwhile is shown now.
    this.#refresher.schedule();
  }

  /** The page is live when it hears of changes and can fetch them. */
  showLive(isLive) {
    super.showLive(isLive && this.#canFetch);
  }

  #setCanFetch(canFetch) {
    this.#canFetch = canFetch;
    this.showLive(this.isLive);
  }

  #onError(error) {
    if (error.verb === "watch" && error.id) return this.#end("unknown");
    this.#row.clearPending();
    // Some errors are none of what somebody has asked for.
    if (this.catalog.text(`${error.verb}-failed`)) this.showError(error);
  }

  /** Stay as things were, for good, and say why. */
  #end(reason) {
    this.stop();
    const hadFocus = this.findPart("remove")?.form.contains(document.activeElement);
    this.toggleAttribute("live", false);
    for (const part of this.querySelectorAll(".moi-actions, [role=search], [download]")) part.hidden = true;
    for (const name of ["offline", "refused", "error"]) this.showPart(name, false);
    this.showPart(reason, true);
    if (hadFocus) this.findPart(reason)?.querySelector("a")?.focus();
  }

  // What the job does

  #show(info) {
    if (info.id !== this.#row.id || !this.#row.show(info)) return;
    const fetched = JSON.stringify(info, (name, value) => (IN_PLACE.includes(name) ? undefined : value));
    if (fetched === this.#fetched) return;
    this.#fetched = fetched;
    this.#refresher.schedule();
  }

  #print({ at, pieces }) {
    const element = this.findPart("output");
    if (!element) return;
    this.#output ??= new TerminalOutput(element, at > 0, this.findPart("follow") ?? undefined);
    this.showPart("output-section", true); // what is hidden has no end to follow
    this.#output.append(pieces);
    this.showPart("output-cut", this.#output.isCut);
  }

  // The page

  #showPage(page) {
    const fresh = page.querySelector("moi-job");
    localizeTimes(fresh, this.catalog.locale);
    // Without a connection nothing else changes what is hidden.
    if (!this.connection.hasOpened) morph(this, fresh, new Set(["open"]));
    for (const part of this.querySelectorAll("[data-moi-part]")) {
      const same = fresh.querySelector(`[data-moi-part="${part.dataset.moiPart}"]`);
      if (same) morph(part, same);
    }
    this.#setCanFetch(true);
  }

  // Buttons

  #onClick = (event) => {
    const button = event.target.closest("button[data-moi]");
    const verb = button?.dataset.moi;
    // The second half of a double click is not meant for the button that has come there.
    if (verb && event.detail > 1) return event.preventDefault();
    // Without a connection the form does it; a retry leads to the page of the new job.
    if (!verb || verb === "retry" || (verb !== "confirm" && !this.isLive)) return;
    event.preventDefault();
    if (button.ariaDisabled === "true") return;
    this.showPart("error", false);
    this.press(verb, this.#row);
  };

  /** What was asked about while there was a connection may be confirmed without one. */
  sendCommand(verb, row) {
    if (this.isLive) super.sendCommand(verb, row);
    else row.findHole(verb).form.requestSubmit(row.findHole(verb));
  }
}

customElements.define("moi-job", MoiJob);
