// Makes what stands on the page like what the server sent now, and touches nothing else: focus, scroll, what was opened,
// selected or half written stays.

/** Names of attributes that scripts own begin so. */
const OURS = "data-js-";

/**
 * @param {Element} from What stands on the page.
 * @param {Element} to What the server sent.
 */
export function morph(from, to) {
  // What a script has filled stays, unless it is of another attempt.
  if (from.hasAttribute("data-keep") && from.getAttribute("data-attempt") === to.getAttribute("data-attempt")) return;
  if (from.hasAttribute("data-keep")) return from.replaceWith(document.importNode(to, true));
  if (from.isEqualNode(to)) return;
  if (from.localName !== to.localName || from.namespaceURI !== to.namespaceURI) {
    if (!holdsWork(from)) from.replaceWith(document.importNode(to, true));
    return;
  }
  attributes(from, to);
  if (from instanceof HTMLTextAreaElement) {
    if (!isDirty(from) && from.defaultValue !== (to.textContent ?? "")) from.defaultValue = to.textContent ?? "";
    return;
  }
  children(from, to);
}

/**
 * @param {Element} from
 * @param {Element} to
 */
function attributes(from, to) {
  const dirty = isDirty(from);
  for (const { name, value } of [...to.attributes]) {
    if (isKept(from, name, dirty)) continue;
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !isKept(from, name, dirty)) from.removeAttribute(name);
  }
}

/**
 * Whether an attribute is the user's or a script's, and not the server's to change.
 *
 * @param {Element} element
 * @param {string} name
 * @param {boolean} dirty
 */
function isKept(element, name, dirty) {
  if (name.startsWith(OURS)) return true;
  if (name === "open") return element instanceof HTMLDetailsElement || element instanceof HTMLDialogElement;
  if (name === "tabindex") return element.hasAttribute("data-item");
  if (name === "value" || name === "checked") return dirty;
  if (name === "disabled" || name === "aria-busy") return element.hasAttribute("data-js-busy");
  return false;
}

/**
 * @param {Element} from
 * @param {Element} to
 */
function children(from, to) {
  /** @type {Map<string, Element>} */
  const keyed = new Map();
  for (const child of from.children) {
    const key = keyOf(child);
    if (key !== null) keyed.set(key, child);
  }
  const wanted = new Set([...to.children].map(keyOf));
  let cursor = skip(from.firstChild);
  for (const next of [...to.childNodes]) {
    // What is gone makes room first, so that what stays need not move.
    while (cursor !== null && isLeaving(cursor, wanted)) {
      const after = skip(cursor.nextSibling);
      leave(cursor);
      cursor = after;
    }
    const key = keyOf(next);
    /** @type {ChildNode | null} */
    let match = null;
    if (key !== null) match = keyed.get(key) ?? null;
    else if (cursor !== null && keyOf(cursor) === null && isAlike(cursor, next)) match = cursor;
    if (match !== null && !isAlike(match, next)) match = null;
    if (match === null) {
      from.insertBefore(document.importNode(next, true), cursor);
    } else {
      if (match === cursor) cursor = skip(cursor.nextSibling);
      else move(from, match, cursor);
      if (match instanceof Element && next instanceof Element) morph(match, next);
      else if (match.nodeValue !== next.nodeValue) match.nodeValue = next.nodeValue;
    }
  }
  while (cursor !== null) {
    const after = skip(cursor.nextSibling);
    leave(cursor);
    cursor = after;
  }
}

/**
 * What scripts have added is not the server's to remove.
 *
 * @param {ChildNode | null} node
 */
function skip(node) {
  while (node instanceof Element && (node.hasAttribute("data-js-own") || node.hasAttribute("data-js-gone"))) node = node.nextSibling;
  return node;
}

/**
 * @param {ChildNode} node
 * @param {Set<string | null>} wanted
 */
function isLeaving(node, wanted) {
  const key = keyOf(node);
  return key !== null && !wanted.has(key);
}

/** @param {ChildNode} node */
function leave(node) {
  if (!(node instanceof Element) || !holdsWork(node)) {
    handOn(node);
    node.remove();
    return;
  }
  // Somebody writes in it. The text is theirs; only nothing can be done with it here any more.
  node.setAttribute("data-js-gone", "");
  for (const button of node.querySelectorAll("button, [type=submit]")) button.setAttribute("disabled", "");
  const note = document.createElement("p");
  note.className = "gone-note";
  note.textContent = "This has been settled meanwhile. Your text stays here until you leave the page.";
  node.append(note);
}

/**
 * Focus in something that goes away would fall to the top of the page; it goes to the neighbour.
 *
 * @param {ChildNode} node
 */
function handOn(node) {
  if (!(node instanceof Element) || !node.contains(document.activeElement)) return;
  const item = node.matches("[data-item]") ? node : node.closest("[data-item]");
  const near = [item?.nextElementSibling, item?.previousElementSibling].find((found) => found?.matches("[data-item]"));
  const next = near ?? document.getElementById("main");
  if (next instanceof HTMLElement) next.focus({ preventScroll: true });
}

/**
 * Moves without losing focus and scroll where the browser can.
 *
 * @param {Element} parent
 * @param {ChildNode} node
 * @param {ChildNode | null} before
 */
function move(parent, node, before) {
  const able = /** @type {{ moveBefore?: (node: Node, before: Node | null) => void }} */ (/** @type {unknown} */ (parent));
  if (able.moveBefore !== undefined) return able.moveBefore(node, before);
  const focused = node.contains(document.activeElement) ? document.activeElement : null;
  parent.insertBefore(node, before);
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
}

/** @param {Node} node */
function keyOf(node) {
  return node instanceof Element && node.id !== "" ? node.id : null;
}

/**
 * @param {Node} one
 * @param {Node} other
 */
function isAlike(one, other) {
  if (one.nodeType !== other.nodeType || one.nodeName !== other.nodeName) return false;
  if (!(one instanceof HTMLInputElement) || !(other instanceof HTMLInputElement)) return true;
  return one.name === other.name && one.type === other.type;
}

/** @param {Element} element */
function isDirty(element) {
  if (element instanceof HTMLTextAreaElement) return element.value !== element.defaultValue;
  if (element instanceof HTMLInputElement) return element.value !== element.defaultValue || element.checked !== element.defaultChecked;
  return element instanceof HTMLOptionElement && element.selected !== element.defaultSelected;
}

/**
 * Whether somebody has begun to write in it.
 *
 * @param {Element} element
 */
export function holdsWork(element) {
  const fields = [element, ...element.querySelectorAll("textarea, input:not([type=checkbox], [type=radio], [type=hidden])")];
  return fields.some((field) => (field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement) && field.type !== "hidden" && field.type !== "checkbox" && isDirty(field) && field.value.trim() !== "");
}
