// What only the browser can know: where it is, whether anybody looks, and how old the figures are by now.
(function () {
  "use strict";
  // Of each page the root, and what its other ids begin with.
  const PREFIXES = { overview: "", efficiency: "efficiency-" };
  // The parts of an address that every page understands: the filters of address.py.
  const SHARED = ["tenant", "model", "template"];
  let received = 0;
  let shown = "";

  function set(id, data) {
    const page = Object.keys(PREFIXES).find((root) => document.getElementById(root));
    if (page) window.dash_clientside.set_props(PREFIXES[page] + id, { data });
  }

  function scheme() {
    shown = document.documentElement.getAttribute("data-mantine-color-scheme");
    return shown;
  }

  function pad(number) {
    return String(number).padStart(2, "0");
  }

  function clock(time) {
    const day = time.toISOString().slice(0, 10);
    const hours = `${pad(time.getUTCHours())}:${pad(time.getUTCMinutes())}:${pad(time.getUTCSeconds())} UTC`;
    return Date.now() - time.getTime() > 86_400_000 ? `${day} ${hours}` : hours;
  }

  function age(seconds) {
    if (seconds < 120) return `${seconds} s ago`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h ago`;
    return `${Math.floor(seconds / 86_400)} d ago`;
  }

  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.pages = {
    title(page) {
      if (page) document.title = `${page} · Assay`;
    },

    link(query, href) {
      const kept = [...new URLSearchParams(query || "")].filter(([name]) => SHARED.includes(name));
      const [path] = href.split("?");
      return kept.length ? `${path}?${new URLSearchParams(kept)}` : path;
    },

    tick(count) {
      return document.hidden || !count ? window.dash_clientside.no_update : Date.now();
    },

    scheme() {
      return scheme();
    },

    // `data.now` is the server's clock, so that a wrong clock of this machine does not show as age.
    freshness(data) {
      if (!data) return "";
      const context = window.dash_clientside.callback_context;
      if (!received || context.triggered.some((t) => t.prop_id === "newest.data")) received = Date.now();
      if (data.newest === null) return "no data yet";
      const seconds = Math.max(0, Math.floor((data.now - data.newest + Date.now() - received) / 1000));
      return `data up to ${clock(new Date(data.newest))}, ${age(seconds)}`;
    },
  };

  // A refresh replaces what it fills. Who was in there with the keyboard goes on from the same place.
  const REFRESHED = "#notice, #alerts, #tiles, #legend, #rows, #efficiency-notice, #efficiency-rows";
  let place = null;

  function peers(part, element) {
    return [...document.querySelectorAll(`#${part} :is(a, button)`)].filter((each) => (
      each.id === element.id && each.getAttribute("href") === element.getAttribute("href")
    ));
  }

  document.addEventListener("focusin", ({ target }) => {
    const part = target.closest(REFRESHED)?.id;
    place = part ? { part, element: target, nth: peers(part, target).indexOf(target) } : null;
  });
  document.addEventListener("pointerdown", ({ target }) => {
    if (!target.closest(REFRESHED)) place = null;
  });
  new MutationObserver(() => {
    if (!place || place.element.isConnected || document.activeElement !== document.body) return;
    peers(place.part, place.element)[place.nth]?.focus({ preventScroll: true });
  }).observe(document.body, { childList: true, subtree: true });

  new MutationObserver(() => {
    const before = shown;
    if (scheme() !== before) set("colours", shown);
  }).observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) set("tick", Date.now());
  });
})();
