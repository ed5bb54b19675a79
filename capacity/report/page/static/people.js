// People: their texts, what a model completes of each value, right and wrong marked; searched by name.

const MOST_PEOPLE = 8;
const people = { run: 0, name: "", wrong: false, all: false };

/** The text with every value as the model completes it. */
function textOf(person) {
  const parts = [];
  let done = 0;
  for (const value of person.values) {
    parts.push(person.text.slice(done, value.start));
    const right = person.text.slice(value.start, value.end);
    const mark = make("mark", { className: value.right ? "right" : "wrong", title: value.attribute },
      make("span", {}, value.right ? right : value.said || "(nothing)"), value.right ? "\u00a0✓" : "\u00a0✗");
    parts.push(mark);
    if (!value.right) parts.push(make("ins", { "aria-label": `should be ${right}` }, right));
    done = value.end;
  }
  return [...parts, person.text.slice(done)];
}

function personOf(person) {
  const right = person.values.filter((value) => value.right).length;
  return make("article", { className: "person" },
    make("h3", {}, person.name, make("span", { className: "note" }, ` ${right} of ${person.values.length} right`)),
    make("p", {}, textOf(person)));
}

function showPeople() {
  const of = data.people.runs[people.run];
  const wanted = people.name.toLowerCase();
  const found = of.people.filter((person) => person.name.toLowerCase().includes(wanted)
    && (!people.wrong || person.values.some((value) => !value.right)));
  const shown = people.all || wanted ? found : found.slice(0, MOST_PEOPLE);
  const values = of.people.flatMap((person) => person.values);
  const right = values.filter((value) => value.right).length;
  const asked = of.people.length < of.of ? `${several(of.people.length, "person")} of ${grouped(of.of)}, drawn at random` : "all people";
  byId("people-say").textContent = `What the model of ${of.id} says about ${asked.replace("persons", "people")}: `
    + `given the text up to each value, it completes ${grouped(right)} of ${grouped(values.length)} values.`;
  byId("people-count").textContent = shown.length === found.length
    ? `${grouped(found.length)} shown.` : `${shown.length} of ${grouped(found.length)} shown.`;
  const more = make("button", { type: "button" }, `Show all ${grouped(found.length)}`);
  more.onclick = () => { people.all = true; showPeople(); };
  byId("people-list").replaceChildren(...shown.map(personOf), ...(shown.length < found.length ? [more] : []));
}

function startPeople() {
  const { runs, why } = data.people;
  if (!data.runs.length) return;
  byId("people").hidden = false;
  if (!runs.length) {
    byId("people-say").textContent = why;
    return;
  }
  const search = make("input", { type: "search", id: "people-search", placeholder: "a name" });
  search.oninput = () => { people.name = search.value.trim(); showPeople(); };
  const wrong = make("input", { type: "checkbox", id: "people-wrong" });
  wrong.onchange = () => { people.wrong = wrong.checked; showPeople(); };
  const controls = [make("label", {}, "Name", search), make("label", { className: "check" }, wrong, "only with mistakes")];
  if (runs.length > 1) {
    const select = make("select", { id: "people-run" }, runs.map((run, place) => make("option", { value: place }, run.id)));
    select.onchange = () => { people.run = Number(select.value); showPeople(); };
    controls.unshift(make("label", {}, "Model", select));
  }
  byId("people-controls").replaceChildren(...controls);
  showPeople();
  if (why) byId("people-say").append(` ${why}`);
}
