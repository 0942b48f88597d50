// Fills the elements with `data-moi`, the holes, from an info object: with text, never with HTML.

const { localizeTime, runTime, toIso } = await moiModule("time_format");

// Control characters and backslashes; hosts that look like paths; a scheme without a host.
const UNSAFE_URL = /[\u0000-\u0020\\]|^\/\/|^https?:(?!\/\/[^/?#])/i;
// Stands for an id in the addresses of our own pages.
const BLANK = "00000000-0000-0000-0000-000000000000";

export const isFinished = (state) => ["success", "failed", "cancelled", "lost"].includes(state);
export const isUnfinished = (state) => state === "queued" || state === "running";
export const isFailed = (state) => state === "failed" || state === "lost";
const isRetryable = (state) => isFailed(state) || state === "cancelled";

/** Return how many jobs of a group are in the states that are wanted. */
export function countJobs(totals, isWanted) {
  const wanted = Object.keys(totals ?? {}).filter(isWanted);
  return wanted.reduce((sum, state) => sum + totals[state], 0);
}

/** Return where a job or group leads, or null when there is nothing safe to link to.
 * To its own url once there is something to see, else to our page of it, if the site has that:
 * `pages` are the addresses of a "job" and a "group" with a blank for the id.
 */
export function linkOf({ id, type, state, url }, pages = {}) {
  const own = url && !UNSAFE_URL.test(url) ? `${url.replace(/\/+$/, "")}/${id}` : null;
  const target = own && URL.canParse(own, document.baseURI) ? new URL(own, document.baseURI) : null;
  const isShown = type === "group" || isFinished(state);
  if (isShown && target && /^https?:$/.test(target.protocol)) return own;
  return pages[type]?.replace(BLANK, id) ?? null;
}

/** What fills a hole, by its `data-moi`. Any other name is that of a field of the info object. */
const FILLERS = {
  link: (hole, info, { pages }) => setAttribute(hole, "href", linkOf(info, pages)),
  status: (hole, info, { catalog }) => setText(hole, catalog.statusText(info)),
  totals: (hole, info, { catalog }) => fillTotals(hole, info.totals ?? {}, catalog),
  amount: (hole, info, { catalog }) => setText(hole, amountOf(info, catalog)),
  progress: (hole, info) => fillProgress(hole, info),
  // It is asked for, while the job waits.
  place: (hole, { state }) => state === "queued" || setText(hole, ""),
};

/** When an element applies whose `data-moi` tells what it is for; it is hidden otherwise. */
const APPLIES = {
  cancel: ({ type, state, totals }) => countJobs(totals, isUnfinished) > 0 || (type === "job" && !isFinished(state)),
  retry: ({ state, totals, retried }) => countJobs(totals, isFailed) > 0 || (isRetryable(state) && !retried),
  "if-attempts": ({ state, attempt, attempts }) => attempts > 1 && (attempt > 1 || state !== "success"),
  "if-retried": ({ retried }) => Boolean(retried),
  "if-started": (info) => runTime(info, 0) >= 0,
  "if-running": ({ state }) => state === "running",
  "if-link": (info, { pages }) => linkOf(info, pages) !== null,
};

export const applies = (hole, info, site) => APPLIES[hole.dataset.moi]?.(info, site) ?? true;

/** Fill one hole; `site` has the `catalog` of messages, and the `pages` as `linkOf` wants them. */
export function fillHole(hole, info, site) {
  const name = hole.dataset.moi;
  if (name in FILLERS) {
    FILLERS[name](hole, info, site);
  } else if (name in APPLIES) {
    hole.hidden = !applies(hole, info, site);
  } else if (hole instanceof HTMLTimeElement) {
    hole.dateTime = toIso(info[name]);
    hole.textContent = "";
    localizeTime(hole, site.catalog.locale);
  } else if (name in info && !(hole instanceof HTMLButtonElement)) {
    setText(hole, textOf(info[name]));
  }
}

/** Show a text in a hole, if the template has one. */
export function setText(hole, text) {
  if (hole && hole.textContent !== text) hole.textContent = text;
}

const setAttribute = (element, name, value) =>
  value === null ? element.removeAttribute(name) : element.setAttribute(name, value);

const textOf = (value) => (typeof (value ?? "") === "string" ? value ?? "" : JSON.stringify(value));

/** Show how far a job is: as a bar, which has no value when it does not know of how much. */
function fillProgress(hole, { state, progress, done }) {
  const bar = hole.querySelector("progress") ?? hole;
  if (!(bar instanceof HTMLProgressElement)) return setText(hole, textOf(progress));
  hole.hidden = state !== "running" || (progress === null && done === null);
  setAttribute(bar, "value", progress);
}

/** Return how far a job is in what it counts, or in percent. */
function amountOf({ state, progress, done, total }, catalog) {
  if (state === "success" || (progress === null && done === null)) return "";
  if (progress === null) return catalog.text("done", Math.floor(done));
  if (!total) return catalog.text("percent").replace("#", Math.floor(progress * 100));
  return [done, total].map((number) => Math.round(number * 10) / 10).join("/");
}

/** Show how many jobs of a group are in which state: as lengths of a bar, or as numbers. */
function fillTotals(hole, totals, catalog) {
  let start = 0;
  for (const part of hole.querySelectorAll("[data-part]")) {
    const name = part.dataset.part;
    const count = countJobs(totals, (state) => name === state || (name === "all" && state !== "retried") || (name === "failed" && isFailed(state)));
    if (part instanceof SVGElement) {
      part.setAttribute("x", start);
      part.setAttribute("width", count);
    } else {
      part.hidden = count === 0;
      const number = part.querySelector("[data-moi=count]");
      setText(number ?? part, number ? String(count) : catalog.text(name, count));
    }
    start += count;
  }
  if (hole instanceof SVGElement) hole.setAttribute("viewBox", `0 0 ${start || 1} 1`);
}

/** Offer to show more of something, if there is more; else the last row has the focus of the button. */
export function offerMore(button, hole, count) {
  if (button?.matches(":focus-visible") && !(count > 0)) button.previousElementSibling?.lastElementChild?.querySelector("[data-moi=remove]")?.focus();
  if (button) button.hidden = !(count > 0);
  setText(hole, String(Math.max(0, count)));
}
