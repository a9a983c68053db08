// The dashboard in place: its inner part is asked for again now and then, and a bar says what it stands for.
"use strict";

(() => {
  const dashboard = document.getElementById("dashboard");
  const tip = document.getElementById("tip");
  const seconds = Number(dashboard.dataset.refreshSeconds);

  // Not while somebody is filling in a form or looks elsewhere.
  const busy = () =>
    document.hidden || dashboard.querySelector("details[open]") || dashboard.contains(document.activeElement?.closest("form"));

  async function refresh() {
    const address = new URL(location.href);
    address.searchParams.set("fragment", "1");
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" }, redirect: "manual" });
      // Logged out meanwhile: the login page says so.
      if (answer.type === "opaqueredirect") location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (!busy()) {
        hide();
        dashboard.innerHTML = text;
      }
    } catch {
      const fresh = dashboard.querySelector(".fresh");
      fresh?.classList.add("stale");
      fresh?.setAttribute("title", dashboard.dataset.stale);
    }
  }

  function tell(event) {
    const column = event.target.closest?.("[data-tip]");
    if (!column) return hide();
    // The browser's own tip would come a second later, on top of ours.
    column.querySelector("title")?.remove();
    tip.textContent = column.dataset.tip;
    tip.hidden = false;
    const place = column.getBoundingClientRect();
    const left = place.left + place.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(8, place.top - tip.offsetHeight - 8)}px`;
  }

  function hide() {
    tip.hidden = true;
  }

  dashboard.addEventListener("pointerover", tell);
  dashboard.addEventListener("focusin", tell);
  dashboard.addEventListener("pointerleave", hide);
  addEventListener("scroll", hide, { passive: true });
  setInterval(() => busy() || refresh(), 1000 * seconds);
})();
