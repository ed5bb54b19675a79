// A run's part: what came out, learning curves, losses by attribute, quantized copies, configuration, provenance, command.

const FACTS = [
  ["bits_per_param", "R, bits per parameter", (value, facts) => digits(value, 3) + interval(facts)],
  ["max_bits_per_param", "R max", (value) => digits(value, 3)],
  ["bits", "bits learned", (value, facts) => `${brief(value)} of ${brief(facts.max_bits)}`],
  ["bits_lower_bound", "bits, lower bound", brief],
  ["qa_accuracy", "values completed", percent],
  ["question_accuracy_trained", "questions answered, people trained on", percent],
  ["question_accuracy_held_out", "questions answered, other people", percent],
  ["loss_name", "loss of a name", (value) => `${digits(value, 3)} nats`],
  ["loss_value", "loss of the values", (value) => `${digits(value, 3)} nats`],
  ["heldout_loss", "held-out loss", (value) => `${digits(value, 3)} nats a token`],
  ["heldout_entropy", "least held-out loss", (value) => `${digits(value, 3)} nats a token`],
  ["params", "parameters P", grouped],
  ["tokens", "tokens of training", brief],
  ["steps", "steps", grouped],
  ["flops", "FLOPs of training", (value) => value.toExponential(1)],
  ["seconds", "time of training", duration],
  ["people_measured", "people measured", grouped],
];

const CURVES = [
  ["recall", "bits_per_param", "R while it was trained"],
  ["recall", "qa_accuracy", "accuracy"],
  ["train", "loss", "loss of training, nats a token"],
  ["heldout", "heldout_loss", "held-out loss, nats a token"],
];

const interval = (facts) =>
  facts.bits_per_param_low === undefined ? "" : ` (${digits(facts.bits_per_param_low, 3)} to ${digits(facts.bits_per_param_high, 3)})`;

/** A list of names and values. */
const pairs = (rows) =>
  make("dl", { className: "facts" }, rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));

/** A small table; cells are texts or nodes. */
function smallTable(caption, headings, rows) {
  return make("div", { className: "scroll" }, make("table", {}, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, headings.map((heading) => make("th", { scope: "col" }, heading)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map((one, place) =>
      place ? make("td", { className: "number" }, one) : make("th", { scope: "row" }, one)))))));
}

/** A share as a bar with its number. */
function bar(share, text) {
  if (share === null || share === undefined) return "–";
  const width = Math.max(0, Math.min(1, share)) * 100;
  return make("span", { className: "share" }, make("span", { className: "bar", "aria-hidden": "true" },
    make("span", { style: `width:${width.toFixed(1)}%` })), text);
}

function runFacts(run) {
  return pairs(FACTS.filter(([name]) => run.facts[name] !== undefined)
    .map(([name, words, write]) => [words, write(run.facts[name], run.facts)]));
}

function attributesOf(run) {
  if (!run.attributes.length) return null;
  const rows = run.attributes.map((one) => [one.name, digits(one.loss, 3), bar(one.accuracy, percent(one.accuracy))]);
  return smallTable("Losses by attribute", ["attribute", "loss, nats", "completed exactly"], rows);
}

function copiesOf(run) {
  if (run.copies.length < 2) return null;
  const whole = run.copies[0].bits_per_param;
  const rows = run.copies.map((copy) => {
    const kept = whole ? copy.bits_per_param / whole : null;
    return [copy.scheme === "none" ? "as trained" : copy.scheme, digits(copy.bits_per_param, 3),
      bar(kept, percent(kept)), digits(copy.bits_per_stored_bit, 3), percent(copy.qa_accuracy)];
  });
  return smallTable("Quantized copies", ["copy", "R", "of R as trained", "bits per stored bit", "accuracy"], rows);
}

function listOf(title, mapping) {
  const rows = Object.entries(mapping).filter(([, value]) => value !== null);
  if (!rows.length) return null;
  return make("details", {}, make("summary", {}, title),
    pairs(rows.map(([name, value]) => [name.replaceAll("_", " "), String(value)])));
}

function againOf(run) {
  if (!run.again) return null;
  const code = make("code", {}, run.again);
  const copy = make("button", { type: "button" }, "Copy");
  copy.onclick = async () => {
    try {
      await navigator.clipboard.writeText(run.again);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
  };
  return make("div", { className: "again" }, make("h4", {}, "How to do it again"), make("pre", { tabIndex: 0 }, code), copy);
}

function curvesOf(run) {
  const place = make("div", { className: "curves" });
  const drawn = CURVES.flatMap(([kind, name, title]) => {
    const curve = run.curves[kind];
    if (!curve?.[name]) return [];
    const points = curve.exposures.map((x, id) => ({ id, x, y: curve[name][id] })).filter(({ x, y }) => x > 0 && y !== null);
    if (points.length < 2) return [];
    const chart = make("div", { className: "chart" });
    place.append(make("figure", {}, make("figcaption", {}, title), chart));
    const most = name === "bits_per_param" && run.facts.max_bits_per_param;
    const levels = most && most < 1.6 * Math.max(...points.map(({ y }) => y)) ? [{ y: most, label: "R max" }] : [];
    return [{ chart, points, levels, title, dots: kind !== "train" }];
  });
  const show = async () => {
    for (const { chart, points, levels, title, dots } of drawn) {
      const scale = { y: dots && title !== CURVES[3][2] ? {} : { zero: false } };
      const spec = titled("curve", { x: "exposures", y: null }, scale);
      if (!dots) spec.layer.at(-1).mark.opacity = 0;
      const say = ({ x, y }) => [digits(y, 3), `after ${several(Number(x.toPrecision(4)), "exposure")}`];
      await draw(chart, spec, { points, levels }, { label: `${title}, against exposures, of ${run.title}.`, say });
    }
  };
  return { place: drawn.length ? place : null, show };
}

/** The part of a run; `show` draws its curves once it is in the page. */
function partOf(run) {
  const close = make("button", { type: "button", className: "close", "aria-label": `Close ${run.title}` }, "Close");
  const curves = curvesOf(run);
  const part = make("article", { id: `run-${run.id}`, tabIndex: -1 },
    make("header", {}, make("h3", {}, run.title), close), make("p", { className: "id" }, run.id),
    runFacts(run), curves.place,
    make("div", { className: "tables" }, attributesOf(run), copiesOf(run)), againOf(run),
    listOf("Configuration", { ...data.shared.options, ...run.options }),
    listOf("Provenance", { ...data.shared.origin, ...run.origin }));
  close.onclick = () => {
    part.remove();
    markOpen();
    history.replaceState(null, "", "#runs");
    byId("runs").querySelector(".scroll").focus();
  };
  return { part, show: curves.show };
}

/** Open a run, above those that are open; the promise is kept once its curves are drawn. */
function openRun(id, move = true) {
  const run = data.runs.find((one) => one.id === id);
  if (!run) return undefined;
  let part = byId(`run-${run.id}`);
  let drawn;
  if (!part) {
    const made = partOf(run);
    part = made.part;
    byId("open").prepend(part);
    drawn = made.show();
  }
  markOpen();
  if (!move) return drawn;
  history.replaceState(null, "", `#run-${encodeURIComponent(id)}`);
  part.scrollIntoView({ block: "start" });
  part.focus({ preventScroll: true });
  return drawn;
}

function markOpen() {
  for (const row of byId("table").querySelectorAll("tbody tr")) row.classList.toggle("open", !!byId(`run-${row.dataset.run}`));
}

function startRuns() {
  if (!data.runs.length) return undefined;
  byId("runs").hidden = byId("parts").hidden = byId("words").hidden = false;
  changed.push(markOpen);
  showFilters();
  showTable();
  const known = data.runs.filter((run) => run.facts.bits_per_param !== undefined);
  const best = known.reduce((a, b) => (a && a.facts.bits_per_param >= b.facts.bits_per_param ? a : b), known[0]);
  const drawn = openRun((best ?? data.runs[0]).id, false);
  const fromAddress = () => {
    if (location.hash.startsWith("#run-")) openRun(decodeURIComponent(location.hash.slice(5)));
  };
  addEventListener("hashchange", fromAddress);
  fromAddress();
  return drawn;
}
