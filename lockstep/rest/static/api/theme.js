"use strict";

// The theme that is chosen in Django's admin holds here, too.
document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";
