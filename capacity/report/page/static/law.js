// The first figure: R against parameters or people, a panel for each number of exposures, colors by an option.

const COLORS = 8;
const law = { x: "P", color: "kind", others: true, hidden: new Set() };

const colorKey = (point) =>
  law.color === "kind" ? data.law.kinds[point.kind].label : data.law.kinds[point.kind].values[law.color];

function lawPoints() {
  return data.law.points
    .map((point, id) => ({ ...point, id, key: colorKey(point) }))
    .filter((point) => !law.hidden.has(point.key) && point.runs.some((place) => passes(data.runs[place])));
}

/** The points of a panel as the chart takes them. */
function lawMarks(points, colors) {
  const overN = law.x === "N";
  const loss = data.law.measure !== "R";
  return points
    .map((point) => ({
      ...{ id: point.id, x: overN ? point.N : point.P, y: point.y, low: point.low, high: point.high },
      ...{ line: overN ? `${point.kind} ${point.size}` : String(point.kind), color: colors.get(point.key) },
      ...{ strong: overN || loss || point.state !== "other", hollow: point.state === "edge" },
    }))
    .filter((point) => law.others || point.strong);
}

function sayPoint({ id }) {
  const point = data.law.points[id];
  const states = {
    best: "the best N of this size", other: "", edge: "the best N of this size, at an end of those tried",
    only: "the only N tried",
  };
  const range = point.runs.length > 1 ? ` (${digits(point.low, 2)} to ${digits(point.high, 2)})` : "";
  return [
    `${data.law.measure} ${digits(point.y, 3)}${range}`,
    `size ${point.size}, P ${grouped(point.P)}`,
    `N ${grouped(point.N)}, ${several(point.runs.length, "seed")}`,
    `${several(point.exposures, "exposure")}`,
    data.law.kinds[point.kind].label,
    states[point.state],
  ].filter(Boolean);
}

function choosePoint({ id }) {
  const runs = data.law.points[id].runs.map((place) => data.runs[place]);
  openRun((runs.find(passes) ?? runs[0]).id);
}

function lawColors() {
  const keys = [...new Set(data.law.points.map(colorKey))].sort((a, b) => compare(a, b));
  return new Map(keys.map((key, place) => [key, place < COLORS ? `var(--c${place + 1})` : "var(--faint)"]));
}

function showLegend(colors) {
  const shown = [...colors].slice(0, COLORS);
  const buttons = shown.map(([key, color]) => {
    const button = make("button", { type: "button", "aria-pressed": String(!law.hidden.has(key)) },
      make("span", { className: "swatch", style: `background:${color}` }), key);
    button.onclick = () => {
      if (!law.hidden.delete(key)) law.hidden.add(key);
      showLaw();
    };
    return button;
  });
  const rest = colors.size - shown.length;
  const more = rest > 0 ? [make("span", { className: "note" }, `gray: ${rest} others`)] : [];
  byId("law-legend").replaceChildren(...(colors.size > 1 ? [...buttons, ...more] : []));
}

function showControls() {
  const choice = (label, id, options, value, change) => {
    const select = make("select", { id }, options.map(([name, text]) => make("option", { value: name }, text)));
    select.value = value;
    select.onchange = () => change(select.value);
    return make("label", {}, label, select);
  };
  const axes = [["P", "parameters P"], ["N", "people N"]];
  const made = [choice("Against", "law-x", axes, law.x, (value) => { law.x = value; showLaw(); })];
  if (data.law.options.length > 1) {
    const options = [["kind", "kind of run"], ...data.law.options.map((name) => [name, name.replaceAll("_", " ")])];
    made.push(choice("Color", "law-color", options, law.color, (value) => {
      law.color = value;
      law.hidden.clear();
      showLaw();
    }));
  }
  const box = make("input", { type: "checkbox", id: "law-others", checked: law.others });
  box.onchange = () => { law.others = box.checked; showLaw(); };
  if (data.law.points.some((point) => point.state === "other")) made.push(make("label", { className: "check" }, box, "every N"));
  byId("law-controls").replaceChildren(...made);
}

async function showLaw() {
  const colors = lawColors();
  showLegend(colors);
  const points = lawPoints();
  const often = [...new Set(data.law.points.map((point) => point.exposures))].sort((a, b) => b - a);
  const panels = byId("law-panels");
  byId("law-title").textContent = lawTitle();
  const range = [...new Set(colors.values())];
  const top = Math.max(...data.law.points.map((point) => point.high)) * 1.06;
  const low = Math.min(0, ...data.law.points.map((point) => point.low));
  const made = often.map((exposures) => {
    const own = points.filter((point) => point.exposures === exposures);
    if (!own.length) return null;
    const place = make("div", { className: "chart" });
    const heading = often.length > 1 ? make("figcaption", {}, several(exposures, "exposure")) : null;
    const levels = data.law.levels
      .filter((level) => level.exposures === exposures)
      .map((level) => ({ y: level.y, label: `the paper: ${level.y}` }));
    return { figure: make("figure", {}, heading, place), place, own, exposures, levels };
  }).filter(Boolean);
  panels.replaceChildren(...made.map(({ figure }) => figure));
  const highest = Math.max(top, ...made.flatMap(({ levels }) => levels.map(({ y }) => 1.1 * y)));
  const xs = data.law.points.map((point) => (law.x === "N" ? point.N : point.P));
  const names = { x: law.x === "N" ? "people N" : "parameters P", y: data.law.measure === "R" ? "bits per parameter R" : "held-out loss, nats" };
  const scale = {
    x: { domain: [Math.min(...xs), Math.max(...xs)] },
    y: data.law.measure === "R" ? { domain: [low, highest] } : { zero: false },
    color: { domain: range, range },
  };
  for (const { place, own, exposures, levels } of made) {
    const spec = titled("law", names, scale);
    const label = `${names.y} against ${names.x}, ${several(exposures, "exposure")}: ${several(own.length, "point")}.`;
    await draw(place, spec, { points: lawMarks(own, colors), levels }, { label, say: sayPoint, choose: choosePoint });
  }
  byId("law-note").textContent = lawNote(made.length);
}

function lawTitle() {
  if (data.law.measure !== "R") return `Held-out loss against ${law.x === "N" ? "N" : "parameters"}`;
  return law.x === "N" ? "Bits per parameter against people" : "The best bits per parameter over N, against parameters";
}

function lawNote(panels) {
  if (!panels) return "No run passes the filters of the table below.";
  const states = new Set(data.law.points.map((point) => point.state));
  const says = [];
  if (law.x === "P" && states.has("other") && law.others) says.push("Small points: other N of the same size.");
  if (states.has("edge")) says.push("Hollow points are lower bounds: the best N is at an end of those tried.");
  if (states.has("only")) says.push("Of some sizes one N was tried.");
  if (data.law.points.some((point) => point.runs.length > 1)) says.push("Bars: from the lowest to the highest seed.");
  says.push("The figure shows the runs that pass the filters of the table; the table has all of its numbers.");
  return says.join(" ");
}

function startLaw() {
  if (!data.law?.points.length) return undefined;
  const sizes = new Set(data.law.points.map((point) => point.P)).size;
  if (sizes < 2 && new Set(data.law.points.map((point) => point.N)).size > 1) law.x = "N";
  if (data.law.kinds.length > COLORS && data.law.options.length > 1) law.color = data.law.options[0];
  byId("law").hidden = false;
  showControls();
  changed.push(showLaw);
  return showLaw();
}
