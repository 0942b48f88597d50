// The page as the server shows it now.

// Milliseconds: from news to the fetch, in which more may come; between two fetches at least, and at
// most when they fail.
const GATHER = 100;
const PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;

/** Fetches a page when there is news, but while somebody looks at it, and until that has worked.
 *
 * `on` hears of it: `fresh` gets the page, `failed` says that it could not be had for now, `refused`
 * whether the page is gone, and not that one was led to another one, as after a logout.
 */
export class Refresh {
  #address;
  #on;
  #hasNews = false;
  #isFetching = false;
  #isOver = false;
  #timer = 0;
  #notBefore = 0;
  #failures = 0;

  constructor(address, on) {
    this.#address = address;
    this.#on = on;
  }

  begin() {
    this.#isOver = false;
    document.addEventListener("visibilitychange", this.#look);
  }

  end() {
    this.#isOver = true;
    document.removeEventListener("visibilitychange", this.#look);
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  /** Fetch the page, unless that is about to happen. */
  wish() {
    this.#hasNews = true;
    this.#look();
  }

  #look = () => {
    const isIdle = !this.#isFetching && !this.#timer && !this.#isOver;
    if (!this.#hasNews || !isIdle || document.hidden) return;
    const wait = Math.max(GATHER, this.#notBefore - Date.now());
    this.#timer = setTimeout(() => this.#refresh(), wait);
  };

  async #refresh() {
    this.#timer = 0;
    this.#hasNews = false;
    this.#isFetching = true;
    const begun = Date.now();
    const answer = await this.#fetch();
    this.#isFetching = false;
    this.#failures = answer.status < 500 ? 0 : this.#failures + 1;
    // A server that is slow to answer, or does not, is asked less often.
    const pause = Math.min(LONGEST_PAUSE, PAUSE * 2 ** this.#failures);
    this.#notBefore = Date.now() + Math.max(pause, 3 * (Date.now() - begun));
    if (this.#failures) this.#hasNews = true;
    if (!this.#isOver) this.#tell(answer);
    this.#look();
  }

  /** Return what the server answers; as of a server that is ill when it cannot be reached. */
  async #fetch() {
    try {
      const response = await fetch(this.#address(), { headers: { Accept: "text/html" } });
      const { status, redirected } = response;
      return { status, redirected, text: await response.text() };
    } catch {
      return { status: 503, redirected: false, text: "" };
    }
  }

  #tell({ status, redirected, text }) {
    if (status >= 500) this.#on.failed();
    else if (redirected || status !== 200) this.#on.refused(status === 404 && !redirected);
    else this.#on.fresh(new DOMParser().parseFromString(text, "text/html"));
  }
}
