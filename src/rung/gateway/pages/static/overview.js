// Shows what has happened since: every half minute the page is asked for again, and its living part replaced.
const PAUSE = 30_000;

const busy = (live) => document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]");

async function refresh() {
  const live = document.getElementById("live");
  if (busy(live)) return;
  try {
    const reply = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!reply.ok || reply.redirected) throw new Error(reply.statusText);
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("live");
    if (fresh && !busy(live)) live.replaceWith(fresh);
  } catch {
    const line = document.getElementById("as-of");
    if (!line.dataset.stale) line.textContent += ", and the server does not answer";
    line.dataset.stale = "yes";
    line.parentElement.classList.add("stale");
  }
}

setInterval(refresh, PAUSE);
