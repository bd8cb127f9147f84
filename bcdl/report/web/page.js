// Chooses among the figures that Python computed, and shows them: nothing is computed here. What is chosen stands in the
// address after `#`, so that a link restores it. Texts come from records, from anywhere: they are only ever set as
// `textContent`, or handed to Vega as data, whose expressions are interpreted and never evaluated as code (`ast`).

const DATA = JSON.parse(document.getElementById("values").textContent);
const CHARTS = JSON.parse(document.getElementById("charts-of-views").textContent);
const FACETS = ["machine", "data", "precision", "batch", "settings"]; // each narrows down those after it
const FACETS_OF_PARITY = ["machine", "precision"];
const SMALL = ["training", "roc"]; // views with a chart for each model
const ALL = "";
const SHORT = 24; // letters of a cell that stays on one line
const LANE_PX = 16; // of a chart's height, for a backend of a model

// The choices beside the facets: what a view offers, and in which views.
const CHOICES = {
  regime: { views: ["speed", "quality", "roofline"] },
  baseline: { views: ["speed"] },
  score: { views: ["quality"] },
  quantity: { views: ["parity"] },
  history: { views: ["training"] },
};

const byId = (id) => document.getElementById(id);
const distinct = (values) => [...new Set(values)];

let state = {};
let drawn = []; // charts that are shown
let table = null;
let turn = 0; // of drawing: a later one ends an earlier one

// The state and the address.

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  const asked = { off: new Set(given.getAll("off")), without: new Set(given.getAll("without")) };
  for (const [name, value] of given) if (!(name in asked)) asked[name] = value;
  return asked;
}

function address(changes) {
  const { off, without, ...single } = { ...state, ...changes };
  const parts = new URLSearchParams(Object.entries(single).filter(([, value]) => value !== undefined));
  for (const name of off) parts.append("off", name);
  for (const name of without) parts.append("without", name);
  return `#${parts}`;
}

function choose(changes) {
  location.hash = address(changes); // the event that follows draws
}

// What is chosen among, and what is there for it.

const isOfParity = () => state.view === "parity";
const facets = () => (isOfParity() ? FACETS_OF_PARITY : FACETS);
const listed = () => (isOfParity() ? DATA.pairs : DATA.rows);

function isChosen(row, names = facets()) {
  return names.every((name) => state[name] === ALL || row[name] === state[name]);
}

function isOn(row) {
  return !state.off.has(row.model) && !state.without.has(row.backend);
}

const chosen = () => listed().filter((row) => isChosen(row) && isOn(row));

function settle(name, values, usual) {
  const asked = state[name];
  if (asked !== undefined && values.includes(asked)) return "";
  state[name] = usual;
  return asked === undefined ? "" : `The address asks for ${name} “${asked}”, which is not here: “${usual || "all"}” is shown. `;
}

function offer(name, values, words = (value) => value || "all") {
  const select = byId(name);
  const options = values.map((value) => {
    const option = document.createElement("option");
    option.value = value;
    option.textContent = words(value);
    return option;
  });
  select.replaceChildren(...options);
  select.value = state[name];
  select.disabled = values.length < 2;
}

// Narrow the facets down, each by those before it; words about what could not be taken from the address.
function offerFacets() {
  let said = "";
  let rows = listed();
  for (const name of FACETS) byId(name).parentElement.hidden = !facets().includes(name);
  for (const name of facets()) {
    const there = new Set(rows.map((row) => row[name]));
    const values = name === "machine" ? DATA.machines.filter((machine) => there.has(machine)) : [...there];
    const needed = name === "machine" || name === "data"; // figures of two of them have nothing to do with each other
    const offered = needed || values.length < 2 ? values : [ALL, ...values];
    said += settle(name, offered, offered[0] ?? ALL);
    offer(name, offered);
    rows = rows.filter((row) => isChosen(row, [name]));
  }
  return said;
}

function offerChoices() {
  let said = "";
  for (const name of ["regime", "score", "quantity", "history"]) {
    const options = [...byId(name).options].map((option) => option.value);
    const offered = name === "regime" ? regimesOf(options) : options;
    for (const option of byId(name).options) option.hidden = option.disabled = !offered.includes(option.value);
    said += settle(name, options, offered.includes("step") ? "step" : offered[0]);
    if (!offered.includes(state[name])) state[name] = offered[0];
    byId(name).value = state[name];
  }
  const rows = isOfParity() ? [] : chosen();
  const baselines = distinct(rows.flatMap((row) => Object.keys(row.ratios)));
  baselines.sort((a, b) => DATA.backends.indexOf(a) - DATA.backends.indexOf(b));
  const offered = baselines.length ? baselines : [ALL];
  said += baselines.length ? settle("baseline", offered, offered[0]) : settle("baseline", [state.baseline], ALL);
  offer("baseline", offered, (value) => value || "none: nothing here was measured in turn");
  byId("apart").hidden = state.view !== "speed" || !rows.some((row) => !Object.keys(row.ratios).length);
  for (const [name, { views }] of Object.entries(CHOICES)) byId(name).parentElement.hidden = !views.includes(state.view);
  return said;
}

function regimesOf(options) {
  return options.filter((regime) => `${state.view}/${regime}` in CHARTS || state.view !== "roofline");
}

function offerSwitches(id, names, off, key) {
  const labels = names.map((name) => {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = !off.has(name);
    box.addEventListener("change", () => {
      const left = new Set(off);
      if (box.checked) left.delete(name);
      else left.add(name);
      choose({ [key]: left });
    });
    const label = document.createElement("label");
    label.append(box, name);
    return label;
  });
  byId(id).replaceChildren(byId(id).firstElementChild, ...labels);
}

// Columns of tables: a heading, and the text and value of a row; `number` ones are aligned and sorted as such.

const text = (heading, of) => ({ heading, of: (row) => ({ text: of(row) ?? "" }) });
const number = (heading, of) => ({ heading, number: true, of: (row) => of(row) ?? { text: "" } });
const plain = (value) => ({ text: value === undefined ? "" : String(value), value });
const rateOf = (row) => row.rates[state.regime];
const ratioOf = (row) => row.ratios[state.baseline]?.[state.regime];
const marked = (rate) => rate && { ...rate, text: rate.text + (rate.doubt ? " !" : "") };
const isBaseline = (row) => row.side === state.baseline && Object.keys(row.ratios).length > 0;

const WHO = [text("model", (row) => row.label), text("backend", (row) => row.side)];
const WHERE = [...["precision", "size", "batch"].map((name) => text(name, (row) => row[name])), text("settings", ownSettings)];

const COLUMNS = {
  speed: () => [
    ...WHO,
    number("images/s", (row) => marked(rateOf(row))),
    text("interval or spread", (row) => rateOf(row)?.interval),
    number(`ratio to ${state.baseline || "a baseline"}`, (row) => (isBaseline(row) ? plain("baseline") : ratioOf(row))),
    text("its 95% interval", (row) => (isBaseline(row) ? "" : (ratioOf(row)?.interval ?? row.no_ratio))),
    text("verdict", (row) => ratioOf(row)?.verdict),
    number("rounds", (row) => plain(ratioOf(row)?.rounds)),
    text("measured", (row) => row.measured),
    number("first step, s", (row) => row.first_step),
    number("peak memory, MiB", (row) => row.memory),
    text("same answers?", (row) => row.parity),
    ...WHERE,
    number("records", (row) => plain(row.records)),
    text("status", (row) => row.status),
  ],
  quality: () => [
    ...WHO,
    number("test AUROC", (row) => row.quality.auroc),
    text("least to largest of seeds and folds", (row) => row.quality.auroc?.interval),
    number("test accuracy", (row) => row.quality.accuracy),
    text("least to largest", (row) => row.quality.accuracy?.interval),
    text("rests on", (row) => row.quality_note),
    number("images/s", (row) => marked(rateOf(row))),
    text("measured", (row) => row.measured),
    ...WHERE,
    number("records", (row) => plain(row.records)),
  ],
  roofline: () => [
    ...WHO,
    number("FLOP a byte", (row) => plain(row.roofline[state.regime]?.[0])),
    number("GFLOP/s", (row) => plain(row.roofline[state.regime]?.[1])),
    number("images/s", (row) => marked(rateOf(row))),
    ...WHERE,
  ],
  parity: () => [
    text("model", (row) => row.model),
    text("pair", (row) => row.pair),
    text("verdict", (row) => row.verdict),
    ...[...byId("quantity").options].map((option) => number(option.textContent, (row) => row.apart[option.value])),
    text("settings", ownSettings),
  ],
  training: () => [...WHO, number("last epoch", lastOf), text("rests on", (row) => row.quality_note), ...WHERE],
  roc: () => [
    ...WHO,
    number("test AUROC", (row) => row.quality.auroc),
    text("least to largest of seeds and folds", (row) => row.quality.auroc?.interval),
    text("rests on", (row) => row.quality_note),
    ...WHERE,
    number("records", (row) => plain(row.records)),
  ],
};

function lastOf(row) {
  const [, value] = row.curves[state.history]?.at(-1) ?? [];
  return plain(value ?? undefined);
}

// The rows of each view's table, and the values of its charts.

const HAS = {
  speed: (row) => rateOf(row) || row.status !== "ok",
  quality: (row) => Object.keys(row.quality).length,
  roofline: (row) => row.roofline[state.regime],
  parity: (row) => row.pair.split("-").every((backend) => !state.without.has(backend)),
  training: (row) => row.curves[state.history],
  roc: (row) => row.roc,
};

// The settings of rows by what distinguishes them: the parts that all have are told once, above the table.
const partsOf = (settings) => settings.split(/[,;] /);
let shared = new Set();

function share(rows) {
  const [first = [], ...others] = rows.map((row) => partsOf(row.settings));
  shared = new Set(first.filter((part) => others.every((parts) => parts.includes(part))));
}

function ownSettings(row) {
  return partsOf(row.settings).filter((part) => !shared.has(part)).join(", ");
}

// What a chart says of a row; its label names settings only if rows of one model and backend differ in them.
function entry(row, several) {
  return {
    label: [row.label, ...(several ? [ownSettings(row)] : [])].filter(Boolean).join(", "),
    backend: row.backend,
    place: `${DATA.backends.indexOf(row.backend)} ${row.side}`,
    row: `${row.side} ${row.settings}`,
    circumstances: row.circumstances?.join("\n") ?? "",
  };
}

const VALUES = {
  speed: (rows, several) =>
    rows.filter(rateOf).map((row) => {
      const { value, low, high, text, interval, doubt } = rateOf(row);
      const said = `${text} images/s (${interval}), ${row.measured}${doubt ? `; doubtful: ${doubt}` : ""}`;
      return { ...entry(row, several), value, low: low ?? value, high: high ?? value, said };
    }),
  quality: (rows, several) =>
    rows
      .filter((row) => rateOf(row) && row.quality[state.score])
      .map((row) => {
        const { value, low, high, text } = row.quality[state.score];
        const said = `${text}; ${rateOf(row).text} images/s; ${row.quality_note}`;
        const ends = { score_low: low ?? value, score_high: high ?? value };
        return { ...entry(row, several), name: row.label, value: rateOf(row).value, score: value, ...ends, said };
      }),
  roofline: (rows, several) => {
    const of = (row) => row.roofline[state.regime];
    const highest = (row) => rows.every((other) => other.label !== row.label || of(other)[1] <= of(row)[1]);
    return rows.map((row) => {
      const [x, y] = of(row);
      const made = entry(row, several);
      return { ...made, x, y, name: highest(row) ? row.label : "", said: `${y} GFLOP/s at ${x} FLOP a byte` };
    });
  },
  parity: () =>
    DATA.errors
      .filter((row) => row.quantity === state.quantity && isChosen(row) && isOn(row))
      .map((row) => {
        const said = `${row.error} from the reference; rounding may do ${row.tolerance}`;
        const { error: value, tolerance, backend } = row;
        return { label: row.model, backend, place: backend, value, tolerance, said, circumstances: row.settings };
      }),
  training: (rows, several) => rows.flatMap((row) => points(row, row.curves[state.history], several)),
  roc: (rows, several) => rows.flatMap((row) => points(row, row.roc, several)),
};

function points(row, curve, several) {
  const shown = curve.filter(([, y]) => y !== null);
  return shown.map(([x, y]) => ({ ...entry(row, several), x, y, said: `${y} at ${x}` }));
}

// Whether rows of one model and backend are several, so that charts must say what distinguishes them.
function areSeveral(rows) {
  return distinct(rows.map((row) => `${row.label}\n${row.side}`)).length < rows.length;
}

// Drawing.

async function draw() {
  state = read();
  const own = ++turn;
  const views = [...document.querySelectorAll("nav a")].map((link) => link.dataset.view);
  let said = settle("view", views, views[0]) + settle("theme", ["auto", "light", "dark"], "auto");
  said += offerFacets() + offerChoices();
  document.documentElement.dataset.theme = byId("theme").value = state.theme;
  offerSwitches("models", distinct(listed().filter((row) => isChosen(row)).map((row) => row.model)), state.off, "off");
  offerSwitches("backends", DATA.backends, state.without, "without");
  for (const link of document.querySelectorAll("nav a")) {
    link.href = address({ view: link.dataset.view });
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const note of document.querySelectorAll("[data-of]")) note.hidden = note.dataset.of !== state.view;
  byId("view-title").textContent = document.querySelector("nav a[aria-current]").textContent;
  const rows = chosen().filter(HAS[state.view]);
  share(rows);
  const values = VALUES[state.view](rows, areSeveral(rows));
  if (!rows.length) said += "No record has what this view shows of what is chosen.";
  else if (!values.length) said += "There is no chart: no row has all that it takes.";
  byId("said").textContent = said;
  showTable(COLUMNS[state.view](), rows);
  await showCharts(values, own);
  document.documentElement.dataset.drawn = location.hash; // for tests: what is shown is what the address says
}

function chartName() {
  const of = { speed: "regime", roofline: "regime", parity: "quantity", training: "history" }[state.view];
  if (state.view === "quality") return `quality/${state.regime}/${state.score}`;
  return of ? `${state.view}/${state[of]}` : "roc/sensitivity";
}

async function showCharts(values, own) {
  for (const chart of drawn.splice(0)) chart.finalize();
  byId("charts").classList.toggle("small", SMALL.includes(state.view));
  const titles = SMALL.includes(state.view) ? distinct(values.map((value) => value.label)) : values.length ? [""] : [];
  const figures = titles.map((title) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    caption.hidden = !title;
    figure.append(caption, document.createElement("div"));
    return figure;
  });
  byId("charts").replaceChildren(...figures);
  const roofs = DATA.roofs.filter((roof) => roof.regime === state.regime && isChosen(roof, FACETS));
  for (const [place, figure] of figures.entries()) {
    const own_values = titles[place] ? values.filter((value) => value.label === titles[place]) : values;
    const chart = await embed(figure.lastElementChild, own_values, roofs);
    if (own !== turn) return chart.finalize();
    drawn.push(chart);
  }
}

async function embed(place, rows, roofs) {
  const lines = roofs.flatMap((roof, number) => roof.points.map(([x, y]) => ({ x, y, roof: number })));
  const lanes = distinct(rows.map((row) => row.label)).length * (distinct(rows.map((row) => row.place)).length + 0.5);
  const specification = { height: Math.max(60, LANE_PX * lanes), ...CHARTS[chartName()], datasets: { rows, roofs: lines } };
  const words = { labelColor: "var(--text)", titleColor: "var(--text)" };
  const config = {
    background: "transparent",
    font: "system-ui, sans-serif",
    view: { stroke: "transparent" },
    axis: { ...words, labelFontSize: 12, titleFontSize: 12, gridColor: "var(--faint)", domainColor: "var(--line)", tickColor: "var(--line)" },
    axisY: { labelLimit: place.clientWidth < 500 ? 110 : 260 },
    legend: { ...words, labelFontSize: 13 },
    rule: { color: "var(--line)" },
    line: { color: "var(--line)" },
    tick: { color: "var(--line)" },
    text: { color: "var(--text)" },
  };
  return vegaEmbed(place, specification, { actions: false, ast: true, renderer: "svg", config, tooltip: { disableDefaultStyle: true } });
}

// A table made of text nodes alone; columns that say the same of all rows are told in a sentence instead.
function showTable(columns, rows) {
  if (table) table.destroy();
  hideDetails();
  const cells = rows.map((row) => columns.map((column) => column.of(row)));
  const same = columns.map((_, place) => rows.length > 1 && distinct(cells.map((of_row) => of_row[place].text)).length === 1);
  const hidden = columns.map((_, place) => same[place] && place > 1 && columns[place].heading !== "images/s");
  const constant = columns.flatMap(({ heading }, place) => (hidden[place] && cells[0][place].text ? [`${heading}: ${cells[0][place].text}`] : []));
  const parts = [...constant, ...(shared.size ? [`settings: ${[...shared].join(", ")}`] : [])];
  byId("constant").textContent = parts.length ? `In all rows: ${parts.join("; ")}.` : "";
  const head = document.createElement("tr");
  head.append(...columns.flatMap((column, place) => (hidden[place] ? [] : [cellOf("th", column, { text: column.heading })])));
  const body = rows.map((row, number) => {
    const line = document.createElement("tr");
    line.append(...columns.flatMap((column, place) => (hidden[place] ? [] : [cellOf("td", column, cells[number][place])])));
    if (row.circumstances) showDetailsOf(line, row.circumstances);
    return line;
  });
  const shown = document.createElement("table");
  shown.append(document.createElement("thead"), document.createElement("tbody"));
  shown.tHead.append(head);
  shown.tBodies[0].append(...body);
  shown.setAttribute("aria-label", byId("view-title").textContent);
  byId("table").replaceChildren(shown);
  const layout = { topStart: "info", topEnd: "search", bottomStart: null, bottomEnd: "paging" };
  table = new DataTable(shown, { order: [], paging: rows.length > 100, pageLength: 100, layout, autoWidth: false });
}

function cellOf(tag, column, { text, value }) {
  const cell = document.createElement(tag);
  cell.textContent = text;
  cell.classList.toggle("short", text.length < SHORT);
  if (tag === "th") cell.scope = "col";
  if (column.number) {
    cell.classList.add("number");
    if (tag === "td") cell.dataset.order = typeof value === "number" ? value : "";
  }
  return cell;
}

// The circumstances of a row, by the mouse, by the keyboard or by a finger.
function showDetailsOf(line, lines) {
  line.tabIndex = 0;
  const show = () => {
    const place = line.getBoundingClientRect();
    byId("details").textContent = lines.join("\n");
    byId("details").style.top = `${place.bottom + scrollY + 4}px`;
    byId("details").hidden = false;
    line.setAttribute("aria-describedby", "details");
  };
  for (const event of ["mouseenter", "focus"]) line.addEventListener(event, show);
  for (const event of ["mouseleave", "blur"]) line.addEventListener(event, hideDetails);
}

function hideDetails() {
  byId("details").hidden = true;
}

for (const name of [...FACETS, ...Object.keys(CHOICES), "theme"]) {
  const narrower = Object.fromEntries(FACETS.slice(FACETS.indexOf(name) + 1).map((after) => [after, undefined]));
  const reset = FACETS.includes(name) ? narrower : {};
  byId(name).addEventListener("change", (event) => choose({ [name]: event.target.value, ...reset }));
}
addEventListener("keydown", (event) => event.key === "Escape" && hideDetails());
addEventListener("hashchange", draw);
draw();
