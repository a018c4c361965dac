// A page that is read from file:// may start no Worker: the search runs in a frame of the page instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "Search";
      document.body.appendChild(frame);
      const inside = (this.inside = frame.contentWindow);
      inside.postMessageToPage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.document.open();
      inside.document.write(`<!doctype html><title>Search</title><body><script>
        postMessage = (data) => postMessageToPage(data);
        importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((loaded, failed) => {
          const script = document.createElement("script");
          script.src = url;
          script.onload = loaded;
          script.onerror = failed;
          document.body.appendChild(script);
        })), Promise.resolve());
      <\/script><script src="${new URL(url, location.href)}"><\/script></body>`);
      inside.document.close();
      this.addEventListener("message", (event) => this.onmessage?.(event));
    }

    postMessage(data) {
      const send = () => this.inside.dispatchEvent(new MessageEvent("message", { data }));
      this.inside.document.readyState === "complete" ? send() : this.inside.addEventListener("load", send);
    }

    terminate() {}
  };
}
