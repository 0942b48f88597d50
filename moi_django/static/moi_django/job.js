// <moi-job>: keeps the page of one job as it is in Redis, and appends what the job prints.

// Static files may have a hash in their names, so modules find each other by their elements.
const load = (name) => import(document.querySelector(`script[data-moi-module="${name}"]`).src);
const { Live } = await load("live");
const { Output } = await load("output");
const { localeOf, localize } = await load("times");

/** Return the markup of a part, but for the token that is another one each time. */
function contentOf(part) {
  const copy = part.cloneNode(true);
  copy.querySelector("[name=csrfmiddlewaretoken]")?.remove();
  return copy.outerHTML;
}

class MoiJob extends HTMLElement {
  #output = null;
  #contents = new WeakMap();
  #version = 0;
  #timer = 0;
  #live = new Live(() => this.getAttribute("socket"), {
    opened: () => this.#watch(),
    heard: (verb, payload) => this.#verbs[verb]?.(payload),
    lost: (isFinal) => this.#onLost(isFinal),
  });

  connectedCallback() {
    for (const part of this.querySelectorAll("[data-moi-part]")) this.#take(part);
    this.#live.begin();
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#live.end();
  }

  get #id() {
    return this.getAttribute("job");
  }

  #part(name) {
    return this.querySelector(`[data-moi="${name}"]`);
  }

  #toggle(name, isShown) {
    this.#part(name)?.toggleAttribute("hidden", !isShown);
  }

  #watch() {
    this.#output = null; // it is sent again, from its last part on
    this.#live.send("watch", [this.#id]);
    this.#live.send("log", [this.#id]);
  }

  #verbs = {
    add: (info) => this.#change(info),
    update: (info) => this.#change(info),
    get: (info) => this.#change(info),
    remove: (info) => this.#change(info),
    log: (output) => this.#print(output),
    sync: ({ complete }) => complete && this.#settle(),
    live: (isLive) => isLive || this.#toggle("offline", true),
  };

  #onLost(isFinal) {
    this.toggleAttribute("live", false);
    this.#toggle("offline", !isFinal);
    this.#toggle("refused", isFinal);
  }

  #settle() {
    this.#live.succeeded();
    this.toggleAttribute("live", true);
    this.#toggle("offline", false);
  }

  #change({ version }) {
    if (version < this.#version) return;
    this.#version = version;
    // Several changes in a short while are fetched as one.
    this.#timer ||= setTimeout(() => this.#refresh(), 100);
  }

  /** Put what the server shows now in place of the parts that have changed. */
  async #refresh() {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    this.#timer = 0;
    if (!response.ok || response.redirected) return location.reload();
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const part of this.querySelectorAll("[data-moi-part]")) {
      const fresh = page.querySelector(`[data-moi-part="${part.dataset.moiPart}"]`);
      if (!fresh || contentOf(fresh) === this.#contents.get(part)) continue;
      this.#take(document.adoptNode(fresh));
      fresh.open = part.open;
      const focused = part.contains(document.activeElement) ? document.activeElement.value : null;
      part.replaceWith(fresh);
      if (focused) fresh.querySelector(`[value="${CSS.escape(focused)}"]`)?.focus();
    }
  }

  /** Remember what the server has made of a part, and show its times as the viewer reads them. */
  #take(part) {
    this.#contents.set(part, contentOf(part));
    for (const time of part.querySelectorAll("time")) localize(time, localeOf(this));
  }

  #print({ at, pieces }) {
    const element = this.#part("output");
    if (!element) return;
    if (!this.#output) {
      this.#output = new Output(element);
      this.#toggle("output-cut", at > 0);
    }
    this.#toggle("output-section", true);
    this.#output.append(pieces);
  }
}

customElements.define("moi-job", MoiJob);
