// Which groups somebody has opened or closed: kept for as long as the tab is there.

const { storage } = await moiModule("storage");

const KEY = "moi-folds";
// Greatest number of groups to remember, the latest.
const MOST = 500;

function remembered() {
  try {
    return new Map(JSON.parse(storage("sessionStorage")[KEY] ?? "[]"));
  } catch {
    return new Map(); // somebody else has written there
  }
}
const folds = remembered();

/** Return whether somebody has closed a group; undefined of one that was left as it was. */
export function isClosed(id) {
  return folds.get(id);
}

export function remember(id, isClosed) {
  folds.delete(id); // so that it becomes the latest
  folds.set(id, isClosed);
  for (const oldest of [...folds.keys()].slice(0, -MOST)) folds.delete(oldest);
  try {
    storage("sessionStorage")[KEY] = JSON.stringify([...folds]);
  } catch {
    // The storage is full: until it is not, the page remembers alone.
  }
}
