// <moi-job>: keeps the page of one job as it is in Redis, and appends what the job prints.
//
// Status, times and figures are filled in place, as in a row. What the server's templates make of the
// rest is fetched when that has changed, and the parts of the page become like it.

const { Live } = await moiModule("live");
const { become } = await moiModule("morph");
const { Output } = await moiModule("output");
const { Question } = await moiModule("question");
const { Refresh } = await moiModule("refresh");
const { Row } = await moiModule("row");
const { localeOf, localize } = await moiModule("times");
const { Words } = await moiModule("words");

// What of a job changes while it runs and stands in no part that is fetched.
const IN_PLACE = ["version", "status", "progress", "done", "total", "result"];

/** Return the rest of an info object, for comparison. */
function restOf(info) {
  return JSON.stringify(info, (name, value) => (IN_PLACE.includes(name) ? undefined : value));
}

class MoiJob extends HTMLElement {
  #row;
  #words;
  #output = null;
  #question = new Question(this);
  // What the parts show, or will in a moment.
  #rest = "";
  #beat = 0;
  #isLive = false;
  #isFetched = true;

  connectedCallback() {
    this.#words = new Words(this.#hole("words"), localeOf(this));
    const site = { words: this.#words, pages: {} };
    this.#row = new Row(this.querySelector("[data-id]"), [...this.querySelectorAll("[data-moi]")], site);
    this.#localize(this);
    this.addEventListener("click", this.#onClick);
    this.#refresh.begin();
    this.#live.begin();
    this.#beat = setInterval(() => this.#row.info?.state === "running" && this.#row.tick(Date.now()), 1000);
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#onClick);
    this.#stop();
  }

  #stop() {
    clearInterval(this.#beat);
    this.#refresh.end();
    this.#live.end();
  }

  get #id() {
    return this.getAttribute("job");
  }

  #hole(name) {
    return this.querySelector(`[data-moi="${name}"]`);
  }

  #toggle(name, isShown) {
    this.#hole(name)?.toggleAttribute("hidden", !isShown);
  }

  #localize(part) {
    for (const time of part.querySelectorAll("time")) localize(time, localeOf(this));
  }

  // The connection

  #live = new Live(() => this.getAttribute("socket"), {
    opened: () => this.#watch(),
    heard: (verb, payload) => this.#verbs[verb]?.(payload),
    lost: (isFinal) => this.#onLost(isFinal),
  });

  #watch() {
    this.#output = null; // it is sent again, from its last part on
    this.#live.send("watch", [this.#id]);
    this.#live.send("log", [this.#id]);
  }

  #verbs = {
    add: (info) => this.#show(info),
    update: (info) => this.#show(info),
    get: (info) => this.#show(info),
    remove: () => this.#end("removed"),
    log: (output) => this.#print(output),
    sync: ({ complete }) => complete && this.#settle(),
    live: (isLive) => isLive || this.#setLive(false),
    error: (error) => this.#complain(error),
  };

  #onLost(isFinal) {
    this.#setLive(false);
    if (!isFinal) return;
    this.#stop();
    this.#toggle("offline", false);
    this.#toggle("refused", true);
  }

  #settle() {
    this.#live.succeeded();
    this.#setLive(true);
    // Whatever was missed meanwhile is seen now.
    this.#refresh.wish();
  }

  #setLive(isLive) {
    this.#isLive = isLive;
    this.#tellLive();
  }

  /** The page is live when it hears of changes and can fetch them. */
  #tellLive() {
    const isLive = this.#isLive && this.#isFetched;
    this.toggleAttribute("live", isLive);
    this.#toggle("offline", !isLive);
  }

  /** Stay as things were, for good, and say why. */
  #end(reason) {
    this.#stop();
    const form = this.#hole("remove")?.form;
    const hadFocus = form?.contains(document.activeElement);
    this.toggleAttribute("live", false);
    this.toggleAttribute("gone", true);
    for (const name of ["offline", "refused", "error"]) this.#toggle(name, false);
    this.#toggle(reason, true);
    if (hadFocus) this.#hole(reason)?.querySelector("a")?.focus();
  }

  #complain({ verb, id, reason }) {
    if (verb === "watch" && id) return this.#end("unknown");
    this.#row.settle();
    const failure = this.#words.say(`${verb}-failed`);
    if (!failure) return;
    this.#hole("failure").textContent = failure;
    this.#hole("reason").textContent = reason;
    this.#toggle("error", true);
  }

  // What the job does

  #show(info) {
    if (info.id !== this.#id || !this.#row.show(info)) return;
    const rest = restOf(info);
    if (rest === this.#rest) return;
    this.#rest = rest;
    this.#refresh.wish();
  }

  #print({ at, pieces }) {
    const element = this.#hole("output");
    if (!element) return;
    this.#output ??= new Output(element, at > 0);
    this.#output.append(pieces);
    this.#toggle("output-section", true);
    this.#toggle("output-cut", this.#output.isCut);
  }

  // The parts

  #refresh = new Refresh(() => this.#address, {
    fresh: (page) => this.#take(page),
    failed: () => this.#setFetched(false),
    // Of what is not there any more the connection tells, and why.
    refused: (isGone) => isGone || location.reload(),
  });

  /** The page without the output, which comes by itself. */
  get #address() {
    const address = new URL(location.href);
    address.searchParams.set("without", "output");
    return address;
  }

  #setFetched(isFetched) {
    this.#isFetched = isFetched;
    this.#tellLive();
  }

  #take(page) {
    for (const part of this.querySelectorAll("[data-moi-part]")) {
      const fresh = page.querySelector(`[data-moi-part="${part.dataset.moiPart}"]`);
      if (!fresh) continue;
      this.#localize(fresh);
      become(part, fresh);
    }
    this.#setFetched(true);
  }

  // What people do

  #onClick = (event) => {
    const button = event.target.closest("button[data-moi]");
    const verb = button?.dataset.moi;
    // The second half of a double click is not meant for the button that has come there.
    if (verb && event.detail > 1) return event.preventDefault();
    // Without a connection the form does it; a retry leads to the page of the new job.
    if (!verb || verb === "retry" || (verb !== "confirm" && !this.#isLive)) return;
    event.preventDefault();
    if (button.ariaDisabled === "true") return;
    this.#toggle("error", false);
    if (verb === "confirm") this.#do(this.#question.answer().verb);
    else if (this.#row.questionFor(verb)) this.#question.ask(this.#row, verb);
    else this.#do(verb);
  };

  #do(verb) {
    const button = this.#row.hole(verb);
    if (!this.#isLive) return button.form.requestSubmit(button);
    this.#row.wait(verb);
    this.#live.send(verb, [this.#id]);
  }
}

customElements.define("moi-job", MoiJob);
