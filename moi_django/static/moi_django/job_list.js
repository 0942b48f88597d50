// The rows of <moi-jobs>: which there are, where they stand, and which of them are shown.

const { isCollapsed, rememberCollapsed } = await moiModule("collapsed");
const { fillHole, offerMore, setText } = await moiModule("job_fields");
const { JobRow } = await moiModule("job_row");
const { PointerGuard } = await moiModule("pointer_guard");
const { localizeTimes } = await moiModule("time_format");

// Of how many jobs is asked at once where they stand: each counts as a verb.
const MAX_PLACES = 4;

/** The rows of a <moi-jobs>, its host: rendered by the server, or made when they come. */
export class JobList {
  // The row of the group that is shown itself, if the template has an element for it.
  head = null;
  guard;
  #host;
  #site;
  #rows = new Map();
  #isEnabled = false;
  // Ids shown since a snapshot began, or null outside of one.
  #seen = null;
  // A group with more members is collapsed at first.
  #maxOpen = Infinity;
  // The members of a root group stand newest first, of another oldest first: at most a limit side by
  // side. Besides: how many there are, how many the server has sent, whether it was asked for more.
  #isRoot = true;
  limit = Infinity;
  #size = 0;
  #covered = Infinity;
  #hasAsked = false;
  // Rows that wait to be shown or to be taken away, because somebody is about to press one below them.
  #newer = new Set();
  #leaving = new Set();

  constructor(host) {
    this.#host = host;
    const areas = () => [this.#element, host.findPart("newer")];
    this.guard = new PointerGuard(host, areas, () => this.#release());
  }

  /** Take over the rows that the server has rendered; `site` is what `fillHole` needs. */
  adopt(site) {
    this.#site = site;
    this.limit = Number(this.#host.getAttribute("limit")) || Infinity;
    this.#maxOpen = Number(this.#host.getAttribute("rows")) || Infinity;
    this.#rows.clear();
    this.head = null;
    for (const element of this.#host.querySelectorAll("[data-id]")) {
      const row = new JobRow(element, site);
      if (row.id === this.#host.group) {
        this.head = row;
        continue;
      }
      row.enable(false);
      row.collapse(isCollapsed(row.id) ?? row.isCollapsed);
      this.#rows.set(row.id, row);
    }
    localizeTimes(this.#host, site.catalog.locale);
  }

  get #element() {
    return this.#host.findPart("members");
  }

  /** The elements of the rows at the top. */
  get #top() {
    return [...(this.#element?.children ?? [])];
  }

  /** Return the row of an id, which may be that of the group itself. */
  find(id) {
    return id === this.#host.group ? this.head : this.#rows.get(id);
  }

  tick(now) {
    if (document.hidden) return;
    for (const row of this.#rows.values()) row.tick(now);
  }

  /** Return some jobs of which to ask where they stand, those first that have waited longest. */
  takePlacesDue(now) {
    const due = [...this.#rows.values()].filter((row) => row.isPlaceDue(now));
    due.sort((row, other) => row.placeDueAt - other.placeDueAt).splice(MAX_PLACES);
    return due.map((row) => row.takePlaceTurn(now));
  }

  /** Let the buttons that need the server be used, or not. */
  enable(isEnabled) {
    this.#isEnabled = isEnabled;
    for (const row of this.#rows.values()) row.enable(isEnabled);
    this.#host.findPart("more")?.toggleAttribute("disabled", !isEnabled);
  }

  toggleCollapsed(row) {
    row.collapse(!row.isCollapsed);
    rememberCollapsed(row.id, row.isCollapsed);
  }

  // Rows that come
  /** Show an info object; tell whether it is the end of a job that was not shown as finished. */
  show(info) {
    this.#seen?.add(info.id);
    if (info.id === this.#host.group) return this.#showGroup(info);
    const row = this.#rows.get(info.id) ?? this.#createRow(info);
    if (!row) return false;
    const { info: before, isFinished } = row;
    if (!row.show(info)) return false;
    if (this.#leaving.delete(info.id)) row.markRemoved(false);
    if (!this.#rows.has(info.id)) this.#add(row);
    // A snapshot shows again what has not changed.
    if (!before) row.dispatch("add", info);
    else if (info.version > before.version || !this.#seen) row.dispatch("update", info);
    return !isFinished && row.isFinished;
  }

  /** Show the group itself: in its own row, and in all that is in no row. */
  #showGroup(info) {
    this.#size = info.size ?? 0;
    this.#isRoot = !info.parent;
    for (const part of this.#host.parts) fillHole(part, info, this.#site);
    this.head?.show(info);
    this.#setGone(false);
    this.#applyLimit();
    return false;
  }

  /** Return an empty row of a type, or null: of which the site may have no template. */
  #createRow({ type, path }) {
    const template = this.#host.findPart(type === "group" ? "group" : "job");
    const element = template?.content.firstElementChild?.cloneNode(true);
    const isHidden = path.split(":").some((id) => this.#rows.get(id)?.members === null);
    if (!element || !this.#element || isHidden) return null;
    element.dataset.version = 0;
    return new JobRow(element, this.#site);
  }

  #add(row) {
    row.enable(this.#isEnabled);
    row.collapse(isCollapsed(row.id) ?? this.#startsCollapsed(row.info));
    this.#rows.set(row.id, row);
    this.#place(row);
    if (row.members) this.#placeMembers(row);
    if (this.guard.wouldBeDisturbedBy(row.element)) {
      this.#newer.add(row.id);
      row.element.hidden = true;
    }
    this.#applyLimit();
  }

  /** Tell whether a group is collapsed at first: a deep one, or one with many members. */
  #startsCollapsed({ path, size }) {
    const ids = path.split(":");
    const depth = ids.length - 2 - ids.indexOf(this.#host.group);
    return (ids.includes(this.#host.group) && depth > 0) || size > this.#maxOpen;
  }

  /** Put a row where it belongs: at the top of a root group the newest first, else the oldest. */
  #place({ element }) {
    const members = this.#rows.get(element.dataset.parent)?.members;
    const list = members ?? this.#element;
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

  /** Put the members that came before their group into it. */
  #placeMembers(group) {
    for (const row of this.#rows.values()) {
      if (row.element.dataset.parent === group.id) this.#place(row);
    }
  }

  // Rows that go
  remove(id) {
    if (id === this.#host.group) this.#removeGroup();
    const row = this.#rows.get(id);
    if (!row) return;
    const { element } = row;
    if (this.guard.wouldBeDisturbedBy(element)) {
      this.#leaving.add(id);
      return row.markRemoved(true);
    }
    this.guard.noteRemoval(element);
    if (element.contains(document.activeElement)) {
      this.#focusOn(element.nextElementSibling ?? element.previousElementSibling);
    }
    this.#host.confirmation.cancelWithin(element);
    this.#forget(element);
    element.remove();
    this.#applyLimit();
  }

  /** Forget a row and those within, and tell of it. */
  #forget(element) {
    for (const { dataset } of [...element.querySelectorAll("[data-id]"), element]) {
      const gone = this.#rows.get(dataset.id);
      gone?.dispatch("remove", gone.info ?? { id: dataset.id });
      for (const known of [this.#rows, this.#newer, this.#leaving]) known.delete(dataset.id);
    }
  }

  /** The group itself is gone. */
  #removeGroup() {
    const isFocused = this.head?.element.contains(document.activeElement);
    if (this.head) this.#host.confirmation.cancelWithin(this.head.element);
    this.#setGone(true);
    if (isFocused) this.#focusOn(null);
    this.#applyLimit();
  }

  #setGone(isGone) {
    this.head?.element.toggleAttribute("hidden", isGone);
    this.#host.showPart("gone", isGone);
  }

  /** Give the focus to a row, or to the host when there is none that could take it. */
  #focusOn(element) {
    const target = element?.querySelector("[data-moi=remove]") ?? this.#host;
    if (target === this.#host) this.#host.tabIndex = -1;
    target.focus();
  }

  // Rows that wait
  /** Show and take away what waits, unless somebody is still about to press something. */
  #release() {
    if (!this.#newer.size && !this.#leaving.size) return;
    for (const id of this.#newer) this.#rows.get(id).element.hidden = false;
    this.#newer.clear();
    const gone = [...this.#leaving];
    this.#leaving.clear();
    for (const id of gone) this.remove(id);
    this.#applyLimit();
  }

  /** Show the rows that wait, and lead to the first one. */
  showNewer() {
    this.guard.release();
    this.#release();
    this.#focusOn(this.#top[0]);
  }

  // How many are shown
  /** Show no more rows than the limit, but wait for the end of a snapshot. */
  #applyLimit() {
    if (this.#seen) return;
    let shown = 0;
    for (const element of this.#top) {
      const isNewer = this.#newer.has(element.dataset.id);
      element.hidden = isNewer || shown >= this.limit;
      if (!isNewer) shown += 1;
    }
    const isGone = this.#host.findPart("gone")?.hidden === false;
    this.#host.showPart("empty", this.#top.length === 0 && !isGone);
    const unsent = Math.max(0, this.#size - this.#covered);
    const left = unsent + Math.max(0, shown - this.limit);
    offerMore(this.#host.findPart("more"), this.#host.findPart("left"), left);
    this.#host.showPart("newer", this.#newer.size > 0);
    setText(this.#host.findPart("newer"), this.#site.catalog.text("newer", this.#newer.size));
  }

  /** Show more rows at the top; tell whether there were any, else the server has to be asked. */
  showMore() {
    const count = this.#top.length;
    if (count > this.limit) {
      this.limit = count;
      this.#applyLimit();
      return true;
    }
    this.#hasAsked = true;
    return false;
  }

  /** Note how many members of a group were sent, from its first on. */
  setCovered({ group, covered }) {
    if (group !== this.#host.group) return this.#rows.get(group)?.updateMore(covered);
    this.#covered = covered;
    if (this.#hasAsked) this.limit = Math.max(this.limit, this.#top.length);
    this.#hasAsked = false;
    this.#applyLimit();
  }

  // Snapshots
  beginSnapshot() {
    this.#seen = new Set();
    this.#covered = Infinity;
    for (const row of this.#rows.values()) row.covered = Infinity;
  }

  /** What a complete snapshot has not shown is no longer there. */
  endSnapshot() {
    const gone = [...this.#rows.keys()].filter((id) => !this.#seen.has(id));
    gone.forEach((id) => this.remove(id));
    if (!this.#seen.has(this.#host.group)) this.#removeGroup();
    this.#seen = null;
    for (const row of this.#rows.values()) row.updateMore();
    this.#applyLimit();
  }
}
