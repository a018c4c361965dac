// What htmx cannot be configured to do without eval: it asks only while the page is seen and nothing in it is selected, keeps
// focus and scroll positions, and says when the server does not answer.
(() => {
  "use strict";
  const live = () => document.getElementById("live");
  const focusable = () => [...live().querySelectorAll("a[href], button, input, select, [tabindex]")];
  const scrolled = () => [...live().querySelectorAll(".console-table")];
  const nameOf = (element) => `${element.tagName} ${element.getAttribute("href") ?? element.id} ${element.textContent}`;
  let before = { focus: -1, name: "", left: [] };

  const tellWhetherStale = (isStale) => {
    const stale = document.getElementById("stale");
    if (stale && stale.hidden === isStale) stale.hidden = !isStale;
  };

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt !== live()) return;
    const chosen = document.getSelection();
    const isChoosing = chosen && !chosen.isCollapsed && live().contains(chosen.anchorNode);
    if (document.hidden || isChoosing) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", () => {
    const focus = focusable().indexOf(document.activeElement);
    const name = focus < 0 ? "" : nameOf(document.activeElement);
    before = { focus, name, left: scrolled().map((table) => table.scrollLeft) };
  });
  document.addEventListener("htmx:afterSwap", () => {
    tellWhetherStale(false);
    scrolled().forEach((table, index) => { table.scrollLeft = before.left[index] ?? 0; });
    if (before.focus < 0) return;
    const now = focusable();
    const same = now.find((element) => nameOf(element) === before.name) ?? now[before.focus];
    if (same) same.focus({ preventScroll: true });
  });
  document.addEventListener("htmx:sendError", () => tellWhetherStale(true));
  document.addEventListener("htmx:responseError", () => tellWhetherStale(true));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && live() && window.htmx) window.htmx.trigger(live(), "seen");
  });
})();
