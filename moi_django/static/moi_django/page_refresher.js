// Fetches the page anew when there is news.

// Milliseconds: from news to the fetch, in which more may come; at least between two fetches; and at
// most, when they fail; and from one look to the next where nothing tells of news.
const DEBOUNCE = 100;
const MIN_PAUSE = 1_000;
const MAX_PAUSE = 30_000;
const POLL_INTERVAL = 5_000;

/** Fetches a page, only while it is visible; after a failure until it has worked.
 * `handlers`: `fetched(page)`; `failed()` when there is no page for now; `refused(isGone)` when there
 * will be none: it is gone, or leads to another one, as after a logout.
 */
export class PageRefresher {
  #address;
  #handlers;
  #isWanted = false;
  #isFetching = false;
  #isStopped = false;
  #timer = 0;
  #notBefore = 0;
  #failures = 0;
  #poll = 0;

  constructor(address, handlers) {
    this.#address = address;
    this.#handlers = handlers;
  }

  /** Begin; as long as there was no connection at all, which tells of news, look now and then. */
  start(connection) {
    this.#isStopped = false;
    document.addEventListener("visibilitychange", this.#scheduleFetch);
    this.#poll = setInterval(() => connection.hasOpened || this.schedule(), POLL_INTERVAL);
  }

  stop() {
    this.#isStopped = true;
    document.removeEventListener("visibilitychange", this.#scheduleFetch);
    clearInterval(this.#poll);
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  /** Fetch the page, unless that is about to happen. */
  schedule() {
    this.#isWanted = true;
    this.#scheduleFetch();
  }

  #scheduleFetch = () => {
    const isIdle = !this.#isFetching && !this.#timer && !this.#isStopped;
    if (!this.#isWanted || !isIdle || document.hidden) return;
    const delay = Math.max(DEBOUNCE, this.#notBefore - Date.now());
    this.#timer = setTimeout(() => this.#refresh(), delay);
  };

  async #refresh() {
    this.#timer = 0;
    this.#isWanted = false;
    this.#isFetching = true;
    const begun = Date.now();
    const answer = await this.#fetch();
    this.#isFetching = false;
    this.#failures = answer.status < 500 ? 0 : this.#failures + 1;
    // A server that is slow to answer, or does not, is asked less often.
    const pause = Math.min(MAX_PAUSE, MIN_PAUSE * 2 ** this.#failures);
    this.#notBefore = Date.now() + Math.max(pause, 3 * (Date.now() - begun));
    if (this.#failures) this.#isWanted = true;
    if (!this.#isStopped) this.#deliver(answer);
    this.#scheduleFetch();
  }

  /** Return what the server answers: 503, as if it were overloaded, when it cannot be reached. */
  async #fetch() {
    try {
      const response = await fetch(this.#address(), { headers: { Accept: "text/html" } });
      return { status: response.status, redirected: response.redirected, text: await response.text() };
    } catch {
      return { status: 503, redirected: false, text: "" };
    }
  }

  #deliver({ status, redirected, text }) {
    if (status >= 500) this.#handlers.failed?.();
    else if (redirected || status !== 200) this.#handlers.refused?.(status === 404 && !redirected);
    else this.#handlers.fetched(new DOMParser().parseFromString(text, "text/html"));
  }
}
