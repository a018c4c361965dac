// Wide tables are scrolled by the keyboard, too: the theme puts each into a box that can be scrolled.
addEventListener("load", () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) box.tabIndex = 0;
});
