// Which groups somebody has collapsed or opened: remembered for as long as the tab is there.

const { browserStorage } = await moiModule("browser_storage");

const KEY = "moi-folds";
// Maximum number of groups to remember: the latest.
const MAX_GROUPS = 500;

function load() {
  try {
    return new Map(JSON.parse(browserStorage("sessionStorage")[KEY] ?? "[]"));
  } catch {
    return new Map(); // somebody else has written there
  }
}
const states = load();

/** Return whether somebody has collapsed a group; undefined when it was left as it was. */
export const isCollapsed = (id) => states.get(id);

export function rememberCollapsed(id, isCollapsed) {
  states.delete(id); // so that it becomes the latest
  states.set(id, isCollapsed);
  for (const oldest of [...states.keys()].slice(0, -MAX_GROUPS)) states.delete(oldest);
  try {
    browserStorage("sessionStorage")[KEY] = JSON.stringify([...states]);
  } catch {
    // The storage is full: only the page remembers, until there is room.
  }
}
