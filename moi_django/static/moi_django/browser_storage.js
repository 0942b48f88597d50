// The storage of the browser, which some browsers do not let a page have.

const untilReload = {};

/** Return the storage of a name; where the browser refuses it, one that ends with the page. */
export function browserStorage(name) {
  try {
    return window[name];
  } catch {
    return untilReload;
  }
}
