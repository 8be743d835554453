// The call log as it changes: rows by server-sent events; where there are none, the page polls.
(() => {
  "use strict";
  const FULL = 50;
  let source = null;
  let address = "";
  let waiting = new Map(); // what came while the reader was busy

  const results = () => document.getElementById("results");
  const started = (row) => Number(row.dataset.at);

  function rowOf(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.querySelector("tr");
  }

  function put(body, sid, html) {
    const link = document.getElementById(`call-${sid}`);
    const present = link && link.closest("tr");
    if (!html) {
      if (present) present.remove();
      return;
    }
    const row = rowOf(html);
    if (present) {
      const focused = present.contains(document.activeElement);
      present.replaceWith(row);
      if (focused) row.querySelector(".row-link").focus({ preventScroll: true });
      return;
    }
    const older = [...body.rows].find((other) => started(other) < started(row));
    if (older) older.before(row);
    else if (body.rows.length < FULL) body.append(row);
    while (body.rows.length > FULL) body.lastElementChild.remove();
  }

  function show() {
    if (!waiting.size || window.desk.paused()) return;
    const list = results();
    const body = list && list.querySelector(".calls tbody");
    if (!body) {
      waiting.clear();
      if (list) htmx.trigger(list, "refresh"); // the first call of an empty list
      return;
    }
    window.desk.remember(list);
    for (const [sid, html] of waiting) put(body, sid, html);
    waiting.clear();
    window.desk.restored();
    if (!body.rows.length) htmx.trigger(list, "refresh");
  }

  function close() {
    if (source) source.close();
    source = null;
    window.desk.streaming = false;
  }

  function connect() {
    const list = results();
    const wanted = (list && list.dataset.stream) || "";
    if (source && wanted === address) return;
    close();
    address = wanted;
    waiting = new Map();
    if (!wanted || !window.EventSource) return;
    source = new EventSource(wanted);
    source.addEventListener("ready", () => {
      window.desk.streaming = true;
      htmx.trigger(results(), "refresh"); // what has happened since the page was made
      window.desk.showState();
    });
    source.addEventListener("error", () => {
      window.desk.streaming = false; // it polls until the stream is back
      window.desk.showState();
    });
    source.addEventListener("full", close);
    source.addEventListener("stale", () => {
      waiting.clear();
      htmx.trigger(results(), "refresh");
    });
    source.addEventListener("rows", (event) => {
      for (const { sid, html } of JSON.parse(event.data)) waiting.set(sid, html);
      show();
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    connect();
    setInterval(show, 1000); // what waited for the reader
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "results" || event.target.id === "results") connect();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) connect();
  });

  // --- the filter that is saved is the one that is shown ---
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-save-filter]")) return;
    event.target.elements.query.value = window.location.search.slice(1);
  });

  // --- exports: how far they are ---
  document.addEventListener("click", async (event) => {
    const link = event.target.closest("[data-export]");
    if (!link) return;
    const id = Date.now().toString(16) + "-" + Math.floor(Math.random() * 1e12).toString(16);
    const url = new URL(link.href);
    url.searchParams.set("progress", id);
    event.preventDefault();
    window.location.assign(url);
    for (let tries = 0; tries < 3600; tries += 1) {
      await new Promise((done) => setTimeout(done, 500));
      const answer = await fetch(`/calls/export/progress?id=${id}`);
      const state = document.querySelector("[data-export-state]");
      const known = answer.status === 200; // else it has not begun, or is not ours
      if (!known && tries > 60) return;
      if (!known || !state) continue;
      const { rows, done } = await answer.json();
      state.textContent = `${rows.toLocaleString()} calls ${done ? "exported" : "so far …"}`;
      if (done) return;
    }
  });
})();
