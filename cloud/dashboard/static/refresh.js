"use strict";
// Keeps the middle of the page fresh without moving it, and shows times in the viewer's zone.
(() => {
  const EVERY = 3000;
  const PATIENCE = 10000;
  const live = document.getElementById("live");
  const note = document.getElementById("refresh");
  const words = document.getElementById("refresh-words");
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  let last = new Date();
  let shown = null;
  let busy = false;

  const localise = () => {
    for (const time of live.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) {
        time.title = time.textContent;
        time.textContent = full.format(at);
      }
    }
  };

  const say = (state, text) => {
    // Written only when it changes, so that a screen reader is not told the same thing every three seconds.
    note.dataset.state = state;
    if (words.textContent !== text) words.textContent = text;
  };

  const reading = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && live.contains(selection.anchorNode);
  };

  const replace = (html) => {
    const open = [...live.querySelectorAll("details[open][id]")].map((d) => d.id);
    const moved = [...live.querySelectorAll(".scroll[id]")].map((s) => [s.id, s.scrollLeft]);
    const focused = live.contains(document.activeElement) ? document.activeElement : null;
    const address = focused && focused.getAttribute("href");
    const summary = focused && focused.parentElement && focused.parentElement.id;
    live.innerHTML = html; // escaped by the server; the policy lets nothing in it run
    localise();
    for (const id of open) { const d = document.getElementById(id); if (d) d.open = true; }
    for (const [id, left] of moved) { const s = document.getElementById(id); if (s) s.scrollLeft = left; }
    const again = address
      ? [...live.querySelectorAll("a")].find((a) => a.getAttribute("href") === address)
      : summary && document.getElementById(summary) && document.getElementById(summary).querySelector("summary");
    if (again) again.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (busy || document.hidden) return;
    if (reading()) { say("paused", `paused while you select text; figures of ${clock.format(last)}`); return; }
    busy = true;
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATIENCE);
    try {
      const address = new URL(location.href);
      address.searchParams.set("fragment", "1");
      const answer = await fetch(address, { signal: patience.signal, cache: "no-store" });
      const html = await answer.text();
      if (!answer.ok && answer.status !== 404) throw new Error(String(answer.status));
      if (html !== shown && !reading()) { replace(html); shown = html; }
      last = new Date();
      say("fresh", `refreshed ${clock.format(last)}`);
    } catch {
      say("failed", `refresh failed at ${clock.format(new Date())}; figures of ${clock.format(last)}`);
    } finally {
      clearTimeout(timer);
      busy = false;
    }
  };

  localise();
  setInterval(refresh, EVERY);
  document.addEventListener("visibilitychange", refresh);
})();
