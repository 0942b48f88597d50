// Makes a part of the page like what the server has rendered anew.

// Attributes that people change, and not the server.
const KEPT_ATTRIBUTES = new Set(["open", "hidden"]);

/** Return what tells an element of a list from the others; null where there is nothing. */
export const keyOf = (node) =>
  node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null;

/** Make a node like another one; what is the same stays, and with it focus, choice and selection. */
export function morph(node, fresh, kept = KEPT_ATTRIBUTES) {
  if (node.nodeType !== Node.ELEMENT_NODE) {
    if (node.nodeValue !== fresh.nodeValue) node.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...node.attributes]) {
    if (!kept.has(name) && !fresh.hasAttribute(name)) node.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (!kept.has(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  morphChildren(node, fresh, kept);
}

function morphChildren(element, fresh, kept) {
  const keyed = keepKeyed(element, new Set([...fresh.children].map(keyOf)));
  let next = element.firstChild;
  for (const child of fresh.childNodes) {
    const key = keyOf(child);
    const isAlike = next?.nodeName === child.nodeName && keyOf(next) === null && key === null;
    const match = key === null ? (isAlike ? next : null) : keyed.get(key);
    if (!match) {
      element.insertBefore(document.importNode(child, true), next);
      continue;
    }
    if (match === next) next = next.nextSibling;
    else element.insertBefore(match, next);
    morph(match, child, kept);
  }
  while (next?.nextSibling) next.nextSibling.remove();
  next?.remove();
}

/** Remove the children with a key that is not wanted; return the others that have a key by it. */
function keepKeyed(element, wanted) {
  const keyed = new Map();
  for (const child of [...element.children]) {
    const key = keyOf(child);
    if (key === null) continue;
    if (wanted.has(key)) keyed.set(key, child);
    else child.remove();
  }
  return keyed;
}
