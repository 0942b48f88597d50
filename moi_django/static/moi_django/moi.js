// <moi-jobs>: keeps the rows that the server has rendered as they are in Redis.
//
// All words and all markup come from the templates.

const { Attention } = await moiModule("attention");
const { Live } = await moiModule("live");
const { isClosed, remember } = await moiModule("folds");
const { notify, wish } = await moiModule("notices");
const { Question } = await moiModule("question");
const { Row, fill, offer, setText } = await moiModule("row");
const { localeOf, localize, runTime } = await moiModule("times");
const { Words } = await moiModule("words");

// Greatest number of rows to ask for at once.
const MOST_ROWS = 1_000;

class MoiJobs extends HTMLElement {
  #rows = new Map();
  // Of the group that is shown, if the template has something for it.
  #head = null;
  // The elements outside of rows that have a `data-moi`.
  #parts = [];
  // Words, and the addresses of our own pages.
  #site;
  #beat = 0;
  #isLive = false;
  // Ids met since a snapshot began, or null outside of one.
  #seen = null;
  // A group with more members is closed at first.
  #mostOpen = Infinity;
  // How many rows stand side by side at most, how many there are, and how many were sent of them.
  #limit = Infinity;
  #size = 0;
  // Of a root group the newest row stands at the top, of another the oldest.
  #isRoot = true;
  #covered = Infinity;
  #wantsMore = false;
  // Rows that wait to be shown, and to be taken away, until nobody is about to press something below
  // them.
  #newer = new Set();
  #leaving = new Set();
  #attention = new Attention(
    this,
    () => [this.#list, this.#part("newer")],
    () => this.#release(),
  );
  #question = new Question(this);
  #endings = [];

  connectedCallback() {
    if (!this.#group) return;
    this.#limit = Number(this.getAttribute("limit")) || Infinity;
    this.#mostOpen = Number(this.getAttribute("rows")) || Infinity;
    this.#parts = [...this.querySelectorAll("[data-moi]:not([data-id] *)")];
    const pages = { job: this.getAttribute("job-page"), group: this.getAttribute("group-page") };
    this.#site = { words: new Words(this.#part("words"), localeOf(this)), pages };
    this.#adopt();
    this.addEventListener("click", this.#onClick);
    this.#attention.begin();
    this.#showWish();
    this.#live.begin();
    this.#beat = setInterval(() => this.#onBeat(Date.now()), 1000);
  }

  disconnectedCallback() {
    this.removeEventListener("click", this.#onClick);
    this.#attention.end();
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
    this.#head = null;
    const holes = new Map();
    for (const hole of this.querySelectorAll("[data-id] [data-moi]")) {
      const element = hole.closest("[data-id]");
      holes.set(element, [...(holes.get(element) ?? []), hole]);
    }
    for (const [element, own] of holes) {
      const row = new Row(element, own, this.#site);
      if (row.id === this.#group) {
        this.#head = row;
        continue;
      }
      row.enable(false);
      row.close(isClosed(row.id) ?? row.isClosed);
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
      this.#head?.show(info);
      this.#setGone(false);
      if (!this.#seen) this.#tidy();
      return;
    }
    const row = this.#rows.get(info.id) ?? this.#blank(info);
    if (!row) return;
    const { info: before, isFinished } = row;
    if (!row.show(info)) return;
    if (this.#leaving.delete(info.id)) row.stay();
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
    row.close(isClosed(row.id) ?? this.#startsClosed(row.info));
    this.#rows.set(row.id, row);
    this.#place(row);
    if (row.members) this.#gather(row);
    if (this.#attention.isDisturbedBy(row.element)) {
      this.#newer.add(row.id);
      row.element.hidden = true;
    }
    if (!this.#seen) this.#tidy();
  }

  /** Tell whether a group is closed at first: a deep one, or one with many members. */
  #startsClosed({ path, size }) {
    const ids = path.split(":");
    const depth = ids.length - 2 - ids.indexOf(this.#group);
    return (ids.includes(this.#group) && depth > 0) || size > this.#mostOpen;
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
    if (id === this.#group) this.#end();
    const row = this.#rows.get(id);
    if (!row) return;
    const { element } = row;
    if (this.#attention.isDisturbedBy(element)) {
      this.#leaving.add(id);
      row.leave();
      return;
    }
    this.#attention.lose(element);
    if (element.contains(document.activeElement)) {
      this.#focusOn(element.nextElementSibling ?? element.previousElementSibling);
    }
    this.#question.forget(element);
    for (const { dataset } of [...element.querySelectorAll("[data-id]"), element]) {
      const gone = this.#rows.get(dataset.id);
      gone?.emit("remove", gone.info ?? { id: dataset.id });
      for (const known of [this.#rows, this.#newer, this.#leaving]) known.delete(dataset.id);
    }
    element.remove();
    if (!this.#seen) this.#tidy();
  }

  /** The group itself is gone. */
  #end() {
    const isFocused = this.#head?.element.contains(document.activeElement);
    if (this.#head) this.#question.forget(this.#head.element);
    this.#setGone(true);
    if (isFocused) this.#focusOn(null);
    if (!this.#seen) this.#tidy();
  }

  #setGone(isGone) {
    this.#head?.element.toggleAttribute("hidden", isGone);
    this.#toggle("gone", isGone);
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
    this.#toggle("empty", this.#top.length === 0 && this.#part("gone")?.hidden !== false);
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

  #onClick = (event) => {
    const button = event.target.closest("button[data-moi]");
    if (!button) return;
    if (!this.#attention.accepts(event)) {
      event.preventDefault();
      return;
    }
    const verb = button.dataset.moi;
    const row = this.#rowOf(button.closest("[data-id]")?.dataset.id);
    if (row && row === this.#head) {
      // Its buttons belong to a form, which does it where the page cannot.
      if (!this.#isLive) return;
      event.preventDefault();
    }
    if (button.ariaDisabled === "true") return;
    this.#toggle("error", false);
    if (!row) this.#own[verb]?.();
    else if (verb === "toggle") this.#fold(row);
    else if (verb === "confirm") this.#confirm();
    else if (row.questionFor(verb)) this.#question.ask(row, verb);
    else this.#order(row, verb);
  };

  #rowOf(id) {
    return id === this.#group ? this.#head : this.#rows.get(id);
  }

  #fold(row) {
    row.close(!row.isClosed);
    remember(row.id, row.isClosed);
  }

  #order(row, verb) {
    row.wait(verb);
    this.#live.send(verb, [row.id]);
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

  #confirm() {
    const { row, verb } = this.#question.answer();
    this.#order(row, verb);
  }

  /** Show what was held back once nothing speaks against it. */
  #release() {
    if (!this.#newer.size && !this.#leaving.size) return;
    for (const id of this.#newer) this.#rows.get(id).element.hidden = false;
    this.#newer.clear();
    const gone = [...this.#leaving];
    this.#leaving.clear();
    for (const id of gone) this.#remove({ id });
    this.#tidy();
  }

  #showNewer() {
    this.#attention.release();
    this.#release();
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
    if (!this.#seen.has(this.#group)) this.#end();
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
    // Nobody could be told the answer.
    if (!isLive) this.#question.dismiss(true);
    this.toggleAttribute("live", isLive);
    this.#toggle("offline", !isLive);
    for (const row of this.#rows.values()) row.enable(isLive);
    const more = this.#part("more");
    if (more) more.disabled = !isLive;
  }

  #complain({ verb, id, reason }) {
    this.#rowOf(id)?.settle();
    const error = this.#part("error");
    if (!error) return;
    const [failure, hole] = ["failure", "reason"].map((name) => this.#part(name));
    if (failure) failure.textContent = this.#site.words.say(`${verb}-failed`);
    (hole ?? error).textContent = reason;
    error.hidden = false;
  }
}

customElements.define("moi-jobs", MoiJobs);

// Times that other parts of the page show.
for (const time of document.querySelectorAll("time[data-moi-time]")) localize(time, localeOf(time));
