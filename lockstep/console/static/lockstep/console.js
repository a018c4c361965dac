// What htmx cannot be configured to do without eval: it asks only while the page is seen, and says when no one answers.
(() => {
  "use strict";
  const isLive = (event) => event.detail.elt && event.detail.elt.id === "live";
  const says = (isStale) => {
    const stale = document.getElementById("stale");
    if (stale && stale.hidden === isStale) stale.hidden = !isStale;
  };
  document.addEventListener("htmx:beforeRequest", (event) => {
    const chosen = document.getSelection();
    const isChoosing = chosen && !chosen.isCollapsed && document.getElementById("live").contains(chosen.anchorNode);
    if (isLive(event) && (document.hidden || isChoosing)) event.preventDefault();
  });
  document.addEventListener("htmx:sendError", () => says(true));
  document.addEventListener("htmx:responseError", () => says(true));
  document.addEventListener("htmx:afterSwap", () => says(false));
  document.addEventListener("visibilitychange", () => {
    const live = document.getElementById("live");
    if (!document.hidden && live && window.htmx) window.htmx.trigger(live, "seen");
  });
})();
