// Times and durations, as the viewer reads them.

/** Return a time of an info object as `new Date` reads it. */
export function isoOf(date) {
  return date ? `${date.replace(" ", "T")}Z` : "";
}

/** Return for how many seconds a job has run so far or did run; NaN when it has not begun. */
export function runTime(info, now) {
  const end = info.date_end ? Date.parse(isoOf(info.date_end)) : now;
  return Math.max(0, end - Date.parse(isoOf(info.date_start))) / 1000;
}

/** Return seconds as a clock shows them, 1:02:03 or 2:03. */
export function clockOf(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  const [first, ...rest] = parts[0] ? parts : parts.slice(1);
  return [first, ...rest.map((part) => String(part).padStart(2, "0"))].join(":");
}

/** Return the word for a time that is left, and how many of its units that is. */
export function roughly(seconds) {
  if (seconds < 60) return ["seconds", Math.ceil(seconds / 5) * 5];
  if (seconds < 3600) return ["minutes", Math.round(seconds / 60)];
  if (seconds < 48 * 3600) return ["hours", Math.round(seconds / 3600)];
  return ["days", Math.round(seconds / 86400)];
}

/** Return how the viewer writes times: in their own manner, where the page speaks their language. */
export function localeOf(element) {
  const language = element.closest("[lang]")?.lang || navigator.language;
  const own = navigator.languages.find((each) => each.split("-")[0] === language.split("-")[0]);
  try {
    return Intl.getCanonicalLocales(own ?? language)[0];
  } catch {
    return undefined;
  }
}

/** Show the time of a <time> in the zone of the viewer. */
export function localize(time, locale) {
  const date = new Date(time.dateTime);
  if (Number.isNaN(date.getTime())) return;
  const isToday = date.toDateString() === new Date().toDateString();
  time.textContent = isToday
    ? date.toLocaleTimeString(locale, { timeStyle: "medium" })
    : date.toLocaleString(locale, { dateStyle: "medium", timeStyle: "short" });
  time.title = date.toLocaleString(locale, { dateStyle: "full", timeStyle: "long" });
}
