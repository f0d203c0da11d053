"use strict";
// A review by keys: the field at hand is shown on its page, pages are loaded when they come into sight.
(() => {
  const { prepare, parsed, tell } = window.towpath;
  const form = document.getElementById("review-form");
  const pane = document.getElementById("document");
  const help = document.getElementById("keys");
  const MARGIN_PX = 600;
  const LARGEST = 4;
  let last = null;

  const byId = (id) => document.getElementById(id);
  const named = (attribute, name) => `[${attribute}="${CSS.escape(name)}"]`;
  const controls = () => [...form.querySelectorAll("#fields [data-of]:not(:disabled)")];

  // Pages of the document.

  async function load(sheet) {
    const address = sheet.dataset.load;
    if (!address) return sheet;
    delete sheet.dataset.load;
    try {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = parsed(await answer.text()).querySelector(".sheet");
      prepare(fresh);
      sheet.replaceWith(fresh);
      return fresh;
    } catch {
      sheet.dataset.load = address;
      return sheet;
    }
  }

  const sight = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      sight.unobserve(target);
      load(target).then((sheet) => show(last, { scroll: false }));
    }
  }, { root: pane, rootMargin: `${MARGIN_PX}px` });
  for (const sheet of pane.querySelectorAll("[data-load]")) sight.observe(sheet);

  // The field at hand is marked on its page, and the page comes to it.

  async function show(control, { scroll = true } = {}) {
    for (const mark of pane.querySelectorAll(".mark.on")) mark.classList.remove("on");
    for (const block of form.querySelectorAll(".block.on")) block.classList.remove("on");
    const block = control?.closest("[data-field]");
    if (!block) return;
    block.classList.add("on");
    const sheet = block.dataset.at && byId(`page-${block.dataset.at}`);
    if (!sheet) return;
    const loaded = await load(sheet);
    if (control !== last) return;
    const marks = [...pane.querySelectorAll(named("data-marks", block.dataset.field))];
    for (const mark of marks) mark.classList.add("on");
    if (scroll) bring(marks[0] ?? loaded);
  }

  function bring(part) {
    const at = part.getBoundingClientRect();
    const view = pane.getBoundingClientRect();
    const middle = (begin, size, from, whole) => begin + size / 2 - from - whole / 2;
    if (at.top >= view.top + 40 && at.bottom <= view.bottom - 40 && at.left >= view.left && at.right <= view.right) return;
    pane.scrollBy({
      top: at.height > view.height ? at.top - view.top : middle(at.top, at.height, view.top, view.height),
      left: at.width > view.width ? 0 : middle(at.left, at.width, view.left, view.width),
    });
  }

  form.addEventListener("focusin", (event) => {
    if (!event.target.matches("[data-of]")) return;
    last = event.target;
    show(last);
  });

  function focus(control) {
    control.focus({ preventScroll: true });
    control.scrollIntoView({ block: "nearest" });
    if (control.matches("input[type=text]")) control.select();
  }

  function move(step, list = controls()) {
    const all = controls();
    const now = all.indexOf(last);
    const next = step > 0 ? list.find((one) => all.indexOf(one) > now) : list.findLast((one) => all.indexOf(one) < now);
    if (next) focus(next);
    else if (step > 0) (byId("approve") ?? byId("save"))?.focus();
    return Boolean(next);
  }

  function uncertain() {
    const blocks = [...form.querySelectorAll(".block.doubtful, .block.has-error")];
    return blocks.map((block) => block.querySelector("[data-of]:not(:disabled)")).filter(Boolean);
  }

  // A word of the page goes into the field at hand, and a mark leads to its field.

  pane.addEventListener("mousedown", (event) => {
    if (event.target.matches(".word, .mark")) event.preventDefault();
  });
  pane.addEventListener("click", (event) => {
    if (event.target.matches(".mark")) {
      const field = form.querySelector(named("data-of", event.target.dataset.marks));
      if (field) focus(field);
    } else if (event.target.matches(".word") && last?.isConnected && !last.readOnly) {
      take(event.target.textContent, event.shiftKey);
    }
  });

  function take(word, behind) {
    if (last.matches("select")) {
      const found = [...last.options].find((one) => one.text.toLowerCase() === word.toLowerCase());
      if (!found) return;
      last.value = found.value;
    } else {
      last.value = behind && last.value ? `${last.value} ${word}` : word;
    }
    last.dispatchEvent(new Event("input", { bubbles: true }));
    last.focus({ preventScroll: true });
    tell(`${word} was put in.`);
  }

  form.addEventListener("click", (event) => {
    const link = event.target.closest("[data-show-mark]");
    const field = link?.closest("[data-field]").querySelector("[data-of]");
    if (!field) return;
    event.preventDefault();
    last = field;
    show(field);
  });

  // Rows come and go without a reload; what is typed stays.

  form.addEventListener("submit", async (event) => {
    const button = event.submitter;
    if (button?.name !== "row") {
      dirty = false;
      return;
    }
    event.preventDefault();
    const [word, name] = button.value.split(/ (.*)/s);
    const body = new URLSearchParams(new FormData(form, button));
    try {
      const answer = await fetch(form.action, { method: "POST", body });
      const fresh = parsed(await answer.text()).getElementById("fields");
      if (!answer.ok || !fresh) throw new Error(String(answer.status));
      prepare(fresh);
      byId("fields").replaceWith(fresh);
      changed();
      const listed = word === "add" ? name : name.replace(/\/\d+$/, "");
      const add = form.querySelector(`button[name=row][value="${CSS.escape(`add ${listed}`)}"]`);
      const rows = [...add.parentElement.querySelectorAll("[data-of]")];
      const row = rows.filter((one) => one.name.startsWith(`${listed}/${Number(form.elements[`${listed}#`].value) - 1}`))[0];
      focus(word === "add" && row ? row : add);
    } catch {
      tell("The row could not be changed: the server does not answer.");
    }
  });

  // What is not saved is not lost unasked.

  let dirty = "dirty" in form.dataset;
  const approve = byId("approve");

  function changed() {
    dirty = true;
    if (approve) approve.textContent = "Save and approve";
  }

  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-of]")) changed();
  });
  window.addEventListener("beforeunload", (event) => {
    if (dirty) event.preventDefault();
  });
  if (dirty) changed();

  // Keys.

  function reject() {
    const comment = byId("comment");
    if (!comment) return;
    if (comment.value.trim()) byId("reject").click();
    else {
      comment.focus();
      tell("Say why it is rejected.");
    }
  }

  const isTyped = (part) => part.matches("input, textarea, select");

  document.addEventListener("keydown", (event) => {
    if (help.open || event.isComposing) return;
    const acts = {
      approve: event.key === "Enter" && (event.ctrlKey || event.metaKey),
      down: event.altKey && event.key === "ArrowDown",
      up: event.altKey && event.key === "ArrowUp",
      reject: event.altKey && event.code === "KeyR",
      next: event.altKey && event.code === "KeyJ",
      enter: event.key === "Enter" && event.target.matches("input[data-of], select[data-of]"),
      help: event.key === "?" && !isTyped(event.target),
    };
    const act = Object.keys(acts).find((name) => acts[name]);
    if (!act) return;
    event.preventDefault();
    if (act === "approve") approve?.click();
    else if (act === "reject") reject();
    else if (act === "next") byId("next-job").click();
    else if (act === "help") help.showModal();
    else if (act === "enter") move(event.shiftKey ? -1 : 1);
    else move(act === "down" ? 1 : -1, event.shiftKey ? uncertain() : controls());
  });

  document.querySelector("[data-help]").addEventListener("click", () => help.showModal());

  document.querySelector(".zoom").addEventListener("click", (event) => {
    const by = Number(event.target.dataset.zoomBy ?? 0);
    pane.dataset.zoom = Math.min(Math.max(Number(pane.dataset.zoom) + by, 1), LARGEST);
    show(last);
  });

  // Who has a keyboard begins in the first field that needs a look.
  const first = form.querySelector("[aria-invalid]") ?? uncertain()[0] ?? controls()[0];
  if (first && !location.hash && matchMedia("(pointer: fine)").matches) focus(first);
})();
