// A sweep under way: the server is asked for its runs every two seconds.

const live = { charts: new Map(), finished: null };
const EVERY_MS = 2000;

function progressOf(run) {
  const share = run.share;
  const says = [run.state];
  if (run.R !== null) says.push(`R ${digits(run.R, 2)} so far`);
  if (run.loss !== null) says.push(`loss ${digits(run.loss, 3)}`);
  if (run.speed !== null) says.push(`${brief(run.speed)} tokens/s`);
  if (run.exposures !== null) says.push(`${several(Number(run.exposures.toPrecision(3)), "exposure")}${run.planned ? ` of ${grouped(run.planned)}` : ""}`);
  const track = make("progress", { max: 1, "aria-label": run.id });
  if (share !== null) track.value = share;
  return { track, text: says.join(", ") };
}

async function growCurve(run, place) {
  const points = run.curve.exposures.map((x, id) => ({ id, x, y: run.curve.R[id] }));
  if (points.length < 2 || live.charts.get(run.id) === points.length) return;
  live.charts.set(run.id, points.length);
  const spec = titled("curve", { x: "exposures", y: null });
  spec.height = 110;
  const say = ({ x, y }) => [`R ${digits(y, 3)}`, `after ${several(x, "exposure")}`];
  await draw(place, spec, { points, levels: [] }, { label: `R so far of ${run.id}, against exposures.`, say });
}

function showLive(state) {
  const known = new Map([...byId("live-body").querySelectorAll("article")].map((node) => [node.dataset.run, node]));
  const nodes = state.runs.map((run) => {
    const { track, text } = progressOf(run);
    const node = known.get(run.id) ?? make("article", { className: "under-way" }, make("div"), make("div", { className: "chart" }));
    node.dataset.run = run.id;
    node.firstChild.replaceChildren(make("h3", {}, run.id), track, make("p", { className: "note" }, text));
    growCurve(run, node.lastChild);
    return node;
  });
  const counts = `${several(state.finished, "run")} finished, ${grouped(state.runs.filter((run) => run.alive).length)} under way`
    + (state.failed.length ? `, ${grouped(state.failed.length)} failed` : "") + ".";
  const failed = state.failed.map(({ id, reason }) => make("p", { className: "note wrong" }, `${id} failed: ${reason}`));
  byId("live-body").replaceChildren(make("p", { id: "live-count", role: "status" }, counts), ...failed, ...nodes);
  if (live.finished === null) live.finished = state.finished;
  if (state.finished > live.finished) {
    const again = make("button", { type: "button" }, `Show ${several(state.finished - live.finished, "new finished run")}`);
    again.onclick = () => location.reload();
    byId("live-count").append(" ", again);
  }
}

async function askServer() {
  try {
    const answer = await fetch("live.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    showLive(await answer.json());
    byId("live").classList.remove("lost");
  } catch {
    byId("live").classList.add("lost");
    byId("live-title").textContent = "Under way (the server does not answer)";
  }
  setTimeout(askServer, EVERY_MS);
}

function startLive() {
  if (!data.live) return;
  live.finished = data.finished ?? null;
  byId("live").hidden = false;
  askServer();
}
