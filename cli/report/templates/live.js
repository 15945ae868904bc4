// The live page: parts that changed are exchanged, whatever the reader has sorted, opened or scrolled to stays.
const every = Number(document.body.dataset.live) * 1000;
const lost = find(".lost");

async function refresh() {
  try {
    const versions = Object.fromEntries(all("[data-part]").map((part) => [part.dataset.part, part.dataset.version]));
    const answer = await fetch("parts", { method: "GET", headers: { "X-Versions": JSON.stringify(versions) }, cache: "no-store" });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const found = await answer.json();
    if (found.reload) return location.reload(); // a part is new
    for (const [key, part] of Object.entries(found.parts)) exchange(find(`[data-part="${key}"]`), part);
    lost.hidden = true;
  } catch {
    lost.textContent = "lasro watch does not answer: was it ended? What is shown may be old.";
    lost.hidden = false;
  }
  offer();
  setTimeout(refresh, every);
}

function exchange(part, { html, version }) {
  const busy = part.contains(document.activeElement) || (zoom.open && part.dataset.part === "pictures");
  if (busy) return; // the next time
  const open = new Set(all("details[open]", part).map((found) => found.id));
  part.innerHTML = html; // made by lasro, escaped; scripts in it would not run
  part.dataset.version = version;
  all("details", part).forEach((found) => (found.open = open.has(found.id)));
  settle();
}

function offer() { // the buttons that make sense now
  const state = find(".state").dataset, lives = ["running", "paused"].includes(state.state) && state.phase && state.phase !== "compare";
  const held = state.state === "paused" || state.wish === "pause";
  const [pause, go, stop] = ["pause", "go", "stop"].map((wish) => find(`.buttons [data-wish="${wish}"]`));
  pause.hidden = held;
  go.hidden = !held;
  pause.disabled = !lives || !state.pausable || state.wish === "stop" || !lost.hidden;
  go.disabled = !lives || !lost.hidden;
  stop.disabled = !lives || state.wish === "stop" || !lost.hidden;
}

async function wish(what) {
  const answer = await fetch("wish", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ wish: what }) }).catch(() => null);
  if (!answer?.ok) {
    lost.textContent = "The run could not be asked: lasro watch does not answer, or the run has ended.";
    lost.hidden = false;
    return;
  }
  find(".state").dataset.wish = what === "go" ? "" : what;
  offer();
}

document.addEventListener("click", (event) => {
  const asked = event.target.closest(".buttons [data-wish]")?.dataset.wish;
  if (asked === "stop") find("#stop").showModal();
  else if (asked) wish(asked);
  if (event.target.closest("[data-stop]")) { find("#stop").close(); wish("stop"); }
});
offer();
setTimeout(refresh, every);
