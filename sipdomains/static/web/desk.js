// What the pages need in the browser: local times, keys, and a refresh that disturbs nobody.
(() => {
  "use strict";
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const twoDigits = (number) => String(number).padStart(2, "0");

  // --- times in the viewer's zone; the title keeps UTC ---
  function localise(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const day = [at.getFullYear(), twoDigits(at.getMonth() + 1), twoDigits(at.getDate())].join("-");
      const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(":");
      element.textContent = `${day} ${clock}`;
    }
    for (const element of root.querySelectorAll("[data-zone]")) {
      element.textContent = zone === "UTC" ? "(UTC)" : "";
      element.title = zone;
    }
  }

  // --- lengths of live calls ---
  function tick() {
    for (const element of document.querySelectorAll("[data-since]")) {
      const seconds = Math.max(0, Math.floor((Date.now() - Date.parse(element.dataset.since)) / 1000));
      const hours = Math.floor(seconds / 3600);
      const minutes = Math.floor(seconds / 60) % 60;
      const tail = twoDigits(seconds % 60);
      element.textContent = hours ? `${hours}:${twoDigits(minutes)}:${tail}` : `${minutes}:${tail}`;
    }
  }

  // --- refreshing ---
  function editing() {
    const form = document.getElementById("filter");
    const focused = document.activeElement;
    return Boolean(form && focused && form.contains(focused) && focused.matches("input, select"));
  }

  function selecting() {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed) return false;
    const refreshed = document.querySelector("[data-poll]");
    return Boolean(refreshed && refreshed.contains(selection.anchorNode));
  }

  const listening = () =>
    [...document.querySelectorAll("[data-poll] audio")].some((audio) => !audio.paused);

  const paused = () => document.hidden || editing() || selecting() || listening();

  function showState() {
    const state = document.querySelector("[data-live]");
    if (!state) return;
    const still = paused();
    state.classList.toggle("paused", still);
    const going = desk.streaming ? "Newest calls, live" : "Newest calls, refreshing";
    state.textContent = still ? "Newest calls, refresh paused" : going;
  }

  // What the reader had open, where the keyboard was (htmx keeps that only where there is an id),
  // and the place on the screen of what the reader looks at.
  const STOPS = "a[href], button, input, select, textarea, summary, [tabindex]";
  const stopsOf = (home) => (home ? [...home.querySelectorAll(STOPS)] : []);
  let open = [];
  let stop = null;
  let anchor = null;

  function remember(target) {
    const focused = document.activeElement;
    const home = target.contains(focused) && !focused.id ? focused.closest("[id]") : null;
    stop = home && { home: home.id, index: stopsOf(home).indexOf(focused), href: focused.getAttribute("href") };
    open = [...target.querySelectorAll("details[open][id]")].map((element) => element.id);
    anchor = null;
    if (window.scrollY === 0) return; // at the top, what is new shall be seen
    for (const element of target.querySelectorAll("[id]")) {
      const top = element.getBoundingClientRect().top;
      if (top >= 0 && top < window.innerHeight) {
        anchor = { id: element.id, top };
        return;
      }
    }
  }

  function restore() {
    for (const id of open) {
      const element = document.getElementById(id);
      if (element) element.open = true;
    }
    if (stop && document.activeElement === document.body) {
      const stops = stopsOf(document.getElementById(stop.home));
      const same = stops.find((one) => stop.href && one.getAttribute("href") === stop.href);
      const next = same || stops[stop.index];
      if (next) next.focus({ preventScroll: true });
    }
    stop = null;
    const element = anchor && document.getElementById(anchor.id);
    if (element) window.scrollBy(0, element.getBoundingClientRect().top - anchor.top);
    open = [];
    anchor = null;
  }

  // An address says only what is filtered.
  document.addEventListener("htmx:configRequest", (event) => {
    const fields = event.detail.formData;
    for (const name of [...fields.keys()]) if (!fields.get(name)) fields.delete(name);
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!event.target.matches("[data-poll]")) return;
    const asked = event.detail.requestConfig.triggeringEvent; // none when its time has come
    if (paused() || (desk.streaming && !asked)) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => remember(event.detail.target));
  // Before the browser paints: afterSettle would let the reader see the page jump.
  document.addEventListener("htmx:afterSwap", () => {
    localise(document);
    tick();
    restore();
    showState();
  });
  document.addEventListener("visibilitychange", () => {
    showState();
    const refreshed = document.querySelector("[data-poll]");
    if (!document.hidden && refreshed) htmx.trigger(refreshed, "refresh");
  });
  for (const name of ["focusin", "focusout", "selectionchange"]) {
    document.addEventListener(name, () => requestAnimationFrame(showState));
  }

  // What the call log's script uses.
  const desk = (window.desk = {
    streaming: false,
    paused,
    remember,
    restored() {
      localise(document);
      tick();
      restore();
      showState();
    },
    showState,
  });

  // --- keys ---
  function move(step) {
    const links = [...document.querySelectorAll(".row-link")];
    if (!links.length) return;
    const now = links.indexOf(document.activeElement);
    const next = now < 0 ? 0 : Math.min(links.length - 1, Math.max(0, now + step));
    links[next].focus();
    links[next].closest("tr").scrollIntoView({ block: "nearest" });
  }

  const PAGES = { n: ".pager [rel=next]", p: ".pager [rel=prev]" };
  const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1 };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    const help = document.getElementById("keys");
    if (event.key === "?" && !typing && help) {
      event.preventDefault();
      if (help.open) help.close();
      else help.showModal();
    } else if (help && help.open) {
      return;
    } else if (event.key === "Escape" && typing) {
      event.target.blur();
    } else if (event.key === "g" && !typing) {
      const newest = document.querySelector("[data-newest]");
      if (newest) newest.click();
    } else if (event.key in PAGES && !typing) {
      const link = document.querySelector(PAGES[event.key]);
      if (link) link.click();
    } else if (event.key === "/" && !typing) {
      const search = document.getElementById("id_q");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key in STEPS && !typing) {
      const arrow = event.key.startsWith("Arrow");
      const inList = document.activeElement.matches(".row-link");
      if (!document.querySelector(".row-link") || (arrow && !inList)) return; // arrows scroll
      event.preventDefault();
      move(STEPS[event.key]);
    }
  });

  // Enter in the search means "show me": the list gets the focus, and refreshes again.
  document.addEventListener("htmx:afterRequest", (event) => {
    const source = event.detail.requestConfig && event.detail.requestConfig.triggeringEvent;
    if (event.target.id === "filter" && source && source.type === "submit") {
      const first = document.querySelector(".row-link");
      if (first) first.focus();
      else document.activeElement.blur();
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    const field = document.getElementById("id_tz");
    if (field) field.value = zone === "UTC" ? "" : zone;
    document.cookie = `tz=${zone};path=/;max-age=31536000;samesite=lax`; // charts are drawn in it
    const back = document.querySelector("[data-back]");
    if (back && document.referrer.startsWith(new URL(back.href).origin + new URL(back.href).pathname + "?")) {
      back.href = document.referrer; // back to the filter one came from
    }
    localise(document);
    tick();
    showState();
    setInterval(tick, 1000);
  });
})();
