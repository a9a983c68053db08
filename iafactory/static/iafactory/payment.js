// The page after paying: ask the server what became of the payment, and show its own page once it knows.
// The server decides; without this script the page refreshes itself.
const box = document.getElementById("payment");
const began = Date.now();
const LONG = 30_000, ENOUGH = 20 * 60_000;

async function ask() {
  try {
    const answer = await fetch(box.dataset.ask, { headers: { Accept: "application/json" } });
    if (answer.ok && (await answer.json()).state !== "pending") return location.reload();
  } catch {
    // Offline for a moment: ask again.
  }
  const waited = Date.now() - began;
  const slow = document.getElementById("slow");
  if (slow && waited > LONG) slow.hidden = false;
  if (waited < ENOUGH) setTimeout(ask, waited < LONG ? 2_000 : 10_000);
}

if (box.dataset.ask) setTimeout(ask, 1_000);
