// Lets the modules of a page find each other; the page loads it first.

/** Return what a module of ours exports, by its name in `{% moi_module %}`.
 *
 * Static files may have a hash in their names, so no module knows the path of another one. Each has a
 * script element in the page, by which the browser loads all of them at once.
 */
globalThis.moiModule = (name) =>
  import(document.querySelector(`script[data-moi-module="${name}"]`).src);
