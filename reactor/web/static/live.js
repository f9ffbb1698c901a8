// Keeps what is on the page true while somebody looks at it. Without this the page is as it was when it was made.
"use strict";

(() => {
  const body = document.body;
  const sign = document.getElementById("live");
  const parts = [...document.querySelectorAll("[data-part]")].map((each) => each.dataset.part);
  // Times are of the server's clock, whatever this machine's says.
  let ahead = body.dataset.now ? Date.parse(body.dataset.now) - Date.now() : 0;
  let heard = 0;
  let source = null;

  const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

  // As the command line says it: the two largest units.
  const lasting = (seconds) => {
    const said = [];
    let rest = Math.round(seconds);
    for (const [unit, size] of UNITS) {
      const count = Math.floor(rest / size);
      rest -= count * size;
      if (count) said.push(`${count} ${unit}`);
      else if (said.length) break;
      if (said.length === 2) break;
    }
    return said.join(" ");
  };

  const ago = (passed) => {
    if (Math.abs(passed) < 1) return "now";
    return passed > 0 ? `${lasting(passed)} ago` : `in ${lasting(-passed)}`;
  };

  // In the zone and the words of whoever reads; the server's own, in UTC, are below.
  const exactly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  const tick = () => {
    const now = Date.now() + ahead;
    for (const time of document.querySelectorAll("time")) {
      const at = Date.parse(time.dateTime);
      if (Number.isNaN(at)) continue;
      const text = ago((now - at) / 1000);
      const title = `${exactly.format(at)}\n${time.dateTime}`;
      if (time.title !== title) time.title = title;
      if (time.textContent !== text) time.textContent = text;
    }
    if (source && heard && Date.now() - heard > 45000) say("not live: nothing came for a while", false);
  };

  const say = (text, on) => {
    sign.hidden = false;
    if (sign.textContent !== text) sign.textContent = text;
    sign.classList.toggle("on", on);
  };

  const markPage = () => {
    for (const link of document.querySelectorAll("nav[aria-label=Pages] a")) {
      const path = new URL(link.href).pathname;
      const here = path === "/" ? location.pathname === "/" : location.pathname.startsWith(path);
      if (here) link.setAttribute("aria-current", "page");
    }
  };

  const replace = (part, html) => {
    for (const place of document.querySelectorAll(`[data-part="${part}"]`)) {
      if (place.dataset.html === html) continue;
      // Whoever is reading with the keyboard keeps their place.
      const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      place.innerHTML = html;
      place.dataset.html = html;
      if (focused) place.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
    }
  };

  const close = () => {
    source?.close();
    source = null;
  };

  const open = () => {
    if (source || document.hidden) return;
    const address = new URL(body.dataset.stream, location.href);
    address.searchParams.set("parts", parts.join(","));
    source = new EventSource(address);
    source.addEventListener("parts", (event) => {
      heard = Date.now();
      const { at, ...html } = JSON.parse(event.data);
      if (at) ahead = Date.parse(at) - Date.now();
      for (const [part, text] of Object.entries(html)) replace(part, text);
      markPage();
      tick();
      say("live", true);
    });
    source.addEventListener("error", () => {
      if (source?.readyState === EventSource.CLOSED) {
        close();
        say("not live: reload to try again", false);
      } else {
        say("not live: connecting again", false);
      }
    });
  };

  // A page in the background watches nothing: browsers allow six connections to one server.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);

  for (const all of document.querySelectorAll("input.all")) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of all.closest("table").querySelectorAll("tbody input[type=checkbox]")) box.checked = all.checked;
    });
  }

  for (const choice of document.querySelectorAll(".choice select")) {
    choice.addEventListener("change", () => choice.form.submit());
  }

  markPage();
  tick();
  setInterval(tick, 1000);
  open();
})();
