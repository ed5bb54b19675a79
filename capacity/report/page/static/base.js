// What all parts use: the data, elements, numbers in words, charts with their tooltip.
// Texts of the data are written as text nodes alone, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** An element; `own` are properties, or attributes where there is no such property; children are nodes or texts. */
function make(tag, own = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(own)) {
    if (name in node && !name.startsWith("aria")) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const grouped = (value) => Number(value).toLocaleString("en-US", { maximumFractionDigits: 20 });
const digits = (value, count) => (value === null || value === undefined ? "–" : Number(value).toFixed(count));
const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(0)} %`);
const several = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;

/** A number with K, M, G, ... as axes have it. */
function brief(value) {
  const power = Math.min(5, Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1) / 3)));
  return `${Number((value / 1000 ** power).toPrecision(3))}${["", "K", "M", "G", "T", "P"][power]}`;
}

function duration(seconds) {
  if (seconds < 90) return `${seconds.toPrecision(2)} s`;
  if (seconds < 5400) return `${(seconds / 60).toFixed(0)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** A cell of the table in words. */
function written(column, value) {
  if (value === null) return "–";
  if (column.kind === "share") return percent(value);
  if (column.kind === "number") return digits(value, 2);
  if (typeof value === "number") return grouped(value);
  return String(value);
}

// Tooltip

const tip = byId("tip");

function showTip(lines, x, y) {
  tip.replaceChildren(...lines.map((line, place) => make("div", { className: place ? "" : "strong" }, line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
}

function hideTip() {
  tip.hidden = true;
}

// Charts

/** A copy of a specification with titles of its axes, and the scales of its layers changed by `scale(channel)`. */
function titled(name, titles, scale) {
  const spec = structuredClone(data.charts[name]);
  for (const layer of spec.layer) {
    for (const [channel, title] of Object.entries(titles)) {
      const found = layer.encoding?.[channel];
      if (found && found.field) {
        found.title = title;
        Object.assign((found.scale ??= {}), scale?.[channel]);
      }
    }
    if (scale?.color && layer.encoding?.color) Object.assign(layer.encoding.color.scale, scale.color);
  }
  return spec;
}

/**
 * Draw a chart. points: its data; `say(point)` has the lines of a point's tooltip, `choose(point)` what a click does.
 * With the keyboard: arrows go from point to point, Enter chooses. Returns the view, to change its data.
 */
async function draw(place, spec, datasets, { label, say, choose }) {
  spec.datasets = datasets;
  spec.layer = spec.layer.filter((layer) => datasets[layer.data?.name ?? "points"].length);
  spec.description = label;
  const tooltip = (handler, event, item) => {
    if (item?.datum && say && event.type !== "mouseout" && item.tooltip) showTip(say(item.datum), event.clientX, event.clientY);
    else hideTip();
  };
  const { view } = await vegaEmbed(place, spec, {
    actions: false, ast: true, renderer: "svg", tooltip, defaultStyle: false, mode: "vega-lite",
  });
  const svg = place.querySelector("svg");
  svg?.setAttribute("aria-label", label);
  if (choose) view.addEventListener("click", (event, item) => item?.datum?.id !== undefined && choose(item.datum));
  if (say) byKeyboard(place, view, datasets, label, say, choose);
  return view;
}

function byKeyboard(place, view, datasets, label, say, choose) {
  const points = [...datasets.points].sort((a, b) => a.x - b.x || a.y - b.y);
  let at = -1;
  place.tabIndex = 0;
  place.setAttribute("role", "application");
  place.setAttribute("aria-label", `${label} Arrow keys go from point to point${choose ? "; Enter opens the run" : ""}.`);
  place.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (step && points.length) {
      at = (at + step + points.length) % points.length;
      const [left, top] = view.origin();
      const box = place.getBoundingClientRect();
      const x = box.left + left + view.scale("x")(points[at].x);
      showTip(say(points[at]), x, box.top + top + view.scale("y")(points[at].y));
      event.preventDefault();
    } else if (event.key === "Enter" && at >= 0 && choose) choose(points[at]);
    else if (event.key === "Escape") hideTip();
  };
  place.onblur = hideTip;
}
