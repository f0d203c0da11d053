"use strict";
// What pages can do beyond HTML. Everything works without this file, with a reload where it has none.
(() => {
  const root = document.documentElement;
  const RETRY_MS = 3000;
  const AT_BOTTOM_PX = 120;

  // Storage may be switched off; what would be kept holds for this page then.
  function keep(storage, name, value) {
    try {
      window[storage].setItem(name, value);
    } catch {}
  }

  function kept(storage, name) {
    try {
      return window[storage].getItem(name) ?? "";
    } catch {
      return "";
    }
  }

  // Theme: as the system, light, dark; kept in this browser.

  const THEMES = ["auto", "light", "dark"];
  const THEME_NAMES = { auto: "as the system", light: "light", dark: "dark" };
  const themeSwitch = document.querySelector("[data-theme-switch]");

  function showTheme(theme, within = document) {
    root.dataset.theme = theme;
    themeSwitch?.setAttribute("aria-label", `Theme: ${THEME_NAMES[theme]}`);
    for (const source of within.querySelectorAll("source[media*='prefers-color-scheme'], source[data-system]")) {
      source.dataset.system ??= source.media;
      source.media = { auto: source.dataset.system, light: "not all", dark: source.dataset.dark }[theme];
    }
  }

  themeSwitch?.addEventListener("click", () => {
    const theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
    keep("localStorage", "towpath-theme", theme);
    showTheme(theme);
  });

  // Times in the reader's own zone.

  const MINUTES = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" };
  const clock = new Intl.DateTimeFormat("en-GB", MINUTES);
  const clockWithSeconds = new Intl.DateTimeFormat("en-GB", { ...MINUTES, second: "2-digit" });

  function showTimes(within) {
    for (const time of within.querySelectorAll("time[data-local]")) {
      time.title = time.dateTime;
      time.textContent = (time.dataset.local ? clockWithSeconds : clock).format(new Date(time.dateTime));
    }
  }

  // Tables and the clipboard.

  function toggleRows(button) {
    const rows = document.getElementById(button.dataset.show);
    const open = rows.classList.toggle("open");
    button.setAttribute("aria-expanded", String(open));
    [button.textContent, button.dataset.other] = [button.dataset.other, button.textContent];
  }

  async function copy(button) {
    const label = button.textContent;
    try {
      const { copyFrom, copyText } = button.dataset;
      const text = copyFrom ? await textAt(copyFrom) : document.getElementById(copyText).textContent;
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      tell("Copied.");
    } catch {
      button.textContent = "Could not copy";
    }
    setTimeout(() => { button.textContent = label; }, 1600);
  }

  async function textAt(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-show], [data-copy-text], [data-copy-from]");
    if (button) (button.dataset.show ? toggleRows : copy)(button);
  });

  function prepare(part) {
    showTimes(part);
    showTheme(root.dataset.theme, part);
  }

  function tell(text) {
    const told = document.getElementById("told");
    if (told && told.textContent !== text) told.textContent = text;
  }

  const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

  prepare(document);
  // What the console's own scripts build on.
  window.towpath = { prepare, parsed, tell };

  // A conversation: the active question is followed, the next one is sent without leaving the page.

  const page = document.getElementById("conversation");
  if (!page) return;
  const turns = document.getElementById("turns");
  const form = document.getElementById("ask");
  const box = form?.elements.prompt;
  const PART = { "Towpath-Part": "turn" };
  const draft = form && `towpath-draft:${form.dataset.page}`;
  let stream = null;

  function atBottom() {
    return window.innerHeight + window.scrollY >= document.body.scrollHeight - AT_BOTTOM_PX;
  }

  function toBottom() {
    window.scrollTo({ top: document.body.scrollHeight });
  }

  function setBusy(busy) {
    page.dataset.busy = busy ? "yes" : "no";
    if (!form) return;
    const lost = document.activeElement === document.body || document.activeElement === box;
    for (const part of [box, form.querySelector("[type=submit]")]) part.disabled = busy;
    if (!busy && lost && box.dataset.asked) box.focus({ preventScroll: true });
  }

  // Puts a newer version in the place of a question, and keeps what the reader has opened and where the focus is.
  function swap(old, fresh) {
    const follow = atBottom();
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    const opened = [...old.querySelectorAll("details[open], .rest.open")].map((part) => part.id);
    old.replaceWith(fresh);
    prepare(fresh);
    for (const id of opened) {
      const part = document.getElementById(id);
      if (part?.matches("details")) part.open = true;
      else if (part) toggleRows(fresh.querySelector(`[data-show="${id}"]`));
    }
    if (focused) (document.getElementById(focused) ?? document.getElementById("main")).focus({ preventScroll: true });
    if (follow) toBottom();
    tell(fresh.dataset.told);
  }

  function followActive() {
    const active = turns.querySelector("[data-active]");
    setBusy(active !== null);
    if (!active || stream) return;
    const address = active.dataset.turn;
    let reading = false;
    let again = false;

    async function refresh() {
      if (reading) {
        again = true;
        return;
      }
      reading = true;
      again = false;
      try {
        const answer = await fetch(`${address}/turn`);
        if ([401, 403, 404].includes(answer.status)) location.reload();
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = parsed(await answer.text()).querySelector(".turn");
        swap(document.getElementById(fresh.id), fresh);
        if (!("active" in fresh.dataset)) stop();
      } catch {
        setTimeout(refresh, RETRY_MS);
      }
      reading = false;
      if (again && stream) refresh();
    }

    function stop() {
      stream.close();
      stream = null;
      followActive();
    }

    stream = new EventSource(`${address}/events?last_event_id=${active.dataset.lastEvent}`);
    for (const name of page.dataset.events.split(" ")) stream.addEventListener(name, refresh);
    stream.addEventListener("error", () => {
      // The browser comes back by itself, unless it was refused.
      if (stream?.readyState === EventSource.CLOSED) setTimeout(refresh, RETRY_MS);
    });
  }

  function replacePage(html) {
    const fresh = parsed(html);
    const list = fresh.getElementById("turns");
    if (!list) return false;
    turns.replaceChildren(...list.children);
    document.getElementById("notice").replaceChildren(...(fresh.getElementById("notice")?.children ?? []));
    prepare(turns);
    return true;
  }

  async function ask() {
    const text = box.value;
    const body = new URLSearchParams(new FormData(form));
    box.dataset.asked = "yes";
    document.getElementById("notice").replaceChildren();
    setBusy(true);
    try {
      const answer = await fetch(form.action, { method: "POST", body, headers: PART });
      const html = await answer.text();
      if (answer.status === 201) {
        turns.append(...parsed(html).body.children);
        prepare(turns.lastElementChild);
        box.value = "";
        keep("sessionStorage", draft, "");
        toBottom();
        tell(turns.lastElementChild.dataset.told);
      } else if (answer.redirected || !replacePage(html)) {
        location.reload();
      }
    } catch {
      const note = document.createElement("p");
      note.className = "note bad";
      note.setAttribute("role", "alert");
      note.textContent = "The question could not be sent. Is the network there? It is kept here.";
      document.getElementById("notice").replaceChildren(note);
      box.value = text;
    }
    followActive();
  }

  turns.addEventListener("submit", async (event) => {
    if (!event.target.matches("[data-cancel]")) return;
    event.preventDefault();
    const button = event.target.querySelector("button");
    button.disabled = true;
    tell("Cancelling.");
    const body = new URLSearchParams(new FormData(event.target));
    const answer = await fetch(event.target.action, { method: "POST", body, headers: PART }).catch(() => null);
    if (answer?.ok) return;
    button.disabled = false;
    tell("It could not be cancelled.");
  });

  if (form) {
    box.value ||= kept("sessionStorage", draft);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!box.disabled && box.value.trim()) ask();
    });
    box.addEventListener("input", () => keep("sessionStorage", draft, box.value));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
  }

  if (turns.querySelector("[data-active]") && !location.hash) toBottom();
  followActive();
})();
