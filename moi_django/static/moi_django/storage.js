// What a browser keeps for us.

const kept = {};

/** Return the storage of a name; where the browser keeps nothing, one that ends with the page. */
export function storage(name) {
  try {
    return window[name];
  } catch {
    return kept;
  }
}
