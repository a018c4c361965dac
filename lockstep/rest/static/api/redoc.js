"use strict";

// Redoc adds a picture from its maker's server, and has no option to leave it out: pictures of other origins are not
// asked for. A file of its own, before Redoc: the page may run no script that stands in it.
{
  const pictures = HTMLImageElement.prototype;
  const { setAttribute } = Element.prototype;
  const src = Object.getOwnPropertyDescriptor(pictures, "src");
  const isElsewhere = (value) => {
    const url = new URL(value, location.href);
    return url.protocol !== "data:" && url.origin !== location.origin;
  };

  pictures.setAttribute = function (name, value) {
    if (name === "src" && isElsewhere(value)) this.hidden = true;
    else setAttribute.call(this, name, value);
  };
  Object.defineProperty(pictures, "src", {
    ...src,
    set(value) {
      if (isElsewhere(value)) this.hidden = true;
      else src.set.call(this, value);
    },
  });
}
