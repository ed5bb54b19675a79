// Starts the page.

function showHead() {
  byId("kicker").textContent = data.title;
  if (data.runs.length) {
    const { days, commits, more } = data.made;
    const when = days.length ? `, finished ${days[0] === days[1] ? days[0] : `${days[0]} to ${days[1]}`}` : "";
    const by = commits.length ? `, by commit${commits.length > 1 ? "s" : ""} ${commits.join(", ")}${more ? ` and ${more} others` : ""}` : "";
    byId("made").textContent = `${several(data.runs.length, "run")}${when}${by}.`;
  }
  const parts = [...document.querySelectorAll("main > section")].filter((section) => !section.hidden);
  const names = { live: "Under way", law: "Figure", runs: "Runs", parts: "One run", people: "People", words: "How to read this" };
  byId("contents").replaceChildren(...parts.map((part) => make("a", { href: `#${part.id}` }, names[part.id])));
}

/** Shows everything; `data-ready` says when the figures are drawn, too. */
async function start() {
  startLive();
  const figure = startLaw();
  const curves = startRuns();
  startPeople();
  showHead();
  document.documentElement.dataset.ready = "figures";
  await Promise.all([figure, curves]);
  document.documentElement.dataset.ready = "done";
}

start();
