"use strict";
// The console: parts of a page that keep themselves up to date, filters without a reload. Without this file every link
// and form works by loading a page.
(() => {
  const { prepare, parsed, tell } = window.towpath;
  const SLOWER = 4;

  // Brings a part to a newer version by changing only what differs, so that focus, scrolling and selection stay.

  const UNTOUCHED = new Set(["open", "value", "checked"]);

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      old.nodeValue = fresh.nodeValue;
      return;
    }
    const isField = old.matches("input, textarea, select, details");
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !(isField && UNTOUCHED.has(name))) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value && !(isField && UNTOUCHED.has(name))) old.setAttribute(name, value);
    }
    if (!old.matches("textarea")) morphChildren(old, fresh);
  }

  const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id ?? "") === (other.id ?? "");

  function morphChildren(old, fresh) {
    const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
    const wanted = [...fresh.childNodes];
    const stays = new Map(wanted.filter((child) => child.id).map((child) => [child.id, child.nodeName]));
    let place = old.firstChild;

    function drop() {
      const next = place.nextSibling;
      place.remove();
      place = next;
    }

    for (const child of wanted) {
      const known = child.id && named.get(child.id);
      if (known?.nodeName === child.nodeName) {
        // What is moved loses the focus, so that what has gone before it is taken away instead.
        while (place && place !== known && stays.get(place.id) !== place.nodeName) drop();
        if (place === known) place = place.nextSibling;
        else old.insertBefore(known, place);
        morph(known, child);
      } else if (place && alike(place, child)) {
        const next = place.nextSibling;
        morph(place, child);
        place = next;
      } else {
        old.insertBefore(child, place);
      }
    }
    while (place) drop();
  }

  function put(fresh) {
    const old = document.getElementById(fresh.id);
    prepare(fresh);
    morph(old, fresh);
    const waiting = document.querySelector("[data-waiting-count]");
    if (waiting && "waiting" in fresh.dataset) {
      waiting.hidden = fresh.dataset.waiting === "0";
      waiting.querySelector(".count").textContent = fresh.dataset.waiting;
    }
    old.dispatchEvent(new CustomEvent("fresh", { bubbles: true }));
  }

  // A live part says where its newer version is, and how many seconds to wait; none: something else says when.

  class Live {
    constructor(part) {
      this.id = part.id;
      this.number = 0;
      this.fails = 0;
      this.busy = false;
      if ("empty" in part.dataset) this.refresh();
      else this.wait();
    }

    get part() {
      return document.getElementById(this.id);
    }

    wait() {
      clearTimeout(this.timer);
      const seconds = Number(this.part.dataset.every ?? (this.fails ? 1 : 0)) * (this.fails ? SLOWER : 1);
      if (seconds) this.timer = setTimeout(() => this.look(), seconds * 1000);
    }

    look() {
      if (document.hidden) this.missed = true;
      else this.refresh();
    }

    async refresh(address = this.part.dataset.live) {
      const number = ++this.number;
      clearTimeout(this.timer);
      try {
        const answer = await fetch(address);
        if ([401, 403, 404].includes(answer.status)) return location.reload();
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = parsed(await answer.text()).getElementById(this.id);
        // A later question has overtaken this one.
        if (number !== this.number) return undefined;
        put(fresh);
        this.fails = 0;
      } catch {
        if (number !== this.number) return undefined;
        this.fails += 1;
        const stale = this.part.querySelector("[data-stale]");
        if (stale && this.fails > 1) stale.hidden = false;
      }
      return this.wait();
    }
  }

  const parts = new Map([...document.querySelectorAll("[data-live]")].map((part) => [part.id, new Live(part)]));

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const live of parts.values()) {
      if (live.missed) live.refresh();
      live.missed = false;
    }
  });

  // Links and filters of a live part change it in place; the address goes along.

  const filters = document.querySelector("[data-filters]");

  async function lead(live, address, part) {
    history.pushState(null, "", address);
    await live.refresh(part);
    fill();
    tell(live.part.querySelector(".pager .fine, .empty h2")?.textContent ?? "");
  }

  function fill() {
    if (!filters) return;
    const asked = new URLSearchParams(location.search);
    for (const field of filters.elements) if (field.name) field.value = asked.get(field.name) ?? "";
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-part]");
    const live = link && parts.get(link.closest("[data-live]")?.id);
    if (!live || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    lead(live, link.href, link.dataset.part);
    if (link.closest(".pager")) live.part.scrollIntoView({ block: "start" });
  });

  if (filters) {
    const live = parts.values().next().value;
    const query = () => new URLSearchParams([...new FormData(filters)].filter(([, value]) => value));

    filters.addEventListener("submit", (event) => {
      event.preventDefault();
      const asked = query();
      const address = asked.size ? `${filters.action}?${asked}` : filters.action;
      lead(live, address, `${filters.dataset.filters}?${new URLSearchParams([...asked, ["fragment", "1"]])}`);
    });
    filters.addEventListener("change", (event) => {
      if (event.target.matches("select")) filters.requestSubmit();
    });
    // The browser's own way to clear a search box; that Enter was pressed is told by the form.
    filters.addEventListener("search", (event) => {
      if (!event.target.value) filters.requestSubmit();
    });
    window.addEventListener("popstate", () => {
      const asked = new URLSearchParams(location.search);
      asked.set("fragment", "1");
      live.refresh(`${filters.dataset.filters}?${asked}`).then(fill);
    });
  }

  // A job's page is told by its stream when to look again; the stream is taken up where it broke.

  const job = document.querySelector("[data-stream]");
  if (job) {
    const live = parts.get(job.id);
    const PAUSE_MS = 700;
    let stream = null;
    let soon = null;

    function news() {
      soon ??= setTimeout(async () => {
        soon = null;
        if (document.hidden) live.missed = true;
        else await live.refresh();
      }, PAUSE_MS);
    }

    function follow() {
      const now = live.part;
      if (!("active" in now.dataset)) {
        stream?.close();
        stream = null;
      } else if (!stream) {
        stream = new EventSource(`${now.dataset.stream}?last_event_id=${now.dataset.lastEvent}`);
        stream.addEventListener("message", news);
        stream.addEventListener("error", () => {
          // The browser comes back by itself, unless it was refused.
          if (stream?.readyState !== EventSource.CLOSED) return;
          stream = null;
          news();
        });
      }
    }

    job.addEventListener("fresh", follow);
    follow();
  }

  window.towpath.put = put;
})();
