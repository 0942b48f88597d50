// Times and durations, as the viewer reads them.

/** Return a time of an info object in the format of ISO 8601, which `new Date` reads. */
export const toIso = (date) => (date ? `${date.replace(" ", "T")}Z` : "");

/** Return for how many seconds a job has run so far or did run; NaN when it has not begun. */
export function runTime(info, now) {
  const end = info.date_end ? Date.parse(toIso(info.date_end)) : now;
  return Math.max(0, end - Date.parse(toIso(info.date_start))) / 1000;
}

/** Return seconds as a clock shows them, 1:02:03 or 2:03. */
export function formatClock(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const [first, ...rest] = parts[0] ? parts : parts.slice(1);
  return [first, ...rest.map((part) => String(part).padStart(2, "0"))].join(":");
}

/** Return a unit, and how many of it a number of seconds is: rounded, so as not to change often. */
export function roundDuration(seconds) {
  if (seconds < 60) return ["seconds", Math.ceil(seconds / 5) * 5];
  if (seconds < 3600) return ["minutes", Math.round(seconds / 60)];
  if (seconds < 48 * 3600) return ["hours", Math.round(seconds / 3600)];
  return ["days", Math.round(seconds / 86400)];
}

/** Return the viewer's own locale where the page speaks their language, otherwise the page's. */
export function localeOf(element) {
  const language = element.closest("[lang]")?.lang || navigator.language;
  const own = navigator.languages.find((each) => each.split("-")[0] === language.split("-")[0]);
  try {
    return Intl.getCanonicalLocales(own ?? language)[0];
  } catch {
    return undefined;
  }
}

/** Show the time of a <time> in the viewer's zone. */
export function localizeTime(time, locale) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const isToday = date.toDateString() === new Date().toDateString();
  time.textContent = isToday
    ? date.toLocaleTimeString(locale, { timeStyle: "medium" })
    : date.toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
  time.title = date.toLocaleString(locale, { dateStyle: "full", timeStyle: "long" });
}

/** Show all times within an element in the viewer's zone. */
export function localizeTimes(element, locale) {
  for (const time of element.querySelectorAll("time")) localizeTime(time, locale);
}
