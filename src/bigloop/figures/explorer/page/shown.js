// Elements, colours and numbers, as all parts of the page show them.

const find = (selector) => document.querySelector(selector);

// An element with properties, attributes (names with a -, and role) and children.
function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Black would not show on a dark page.
const colourOf = (run) => (run.colour === "#000000" ? colour("ink") : run.colour);

const swatch = (run) => make("span", { className: "swatch", style: `background: ${colourOf(run)}`, "aria-hidden": "true" });

const DASHES = { "-": [], "-.": [9, 3, 2, 3], ":": [2, 3] };

// Four digits, and no more zeros than needed.
function said(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size && (size < 1e-3 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

const chosenRuns = () => state.runs.map((name) => RUNS.get(name));

// The seed whose samples are shown of a run: the one chosen, or its first.
function seedOf(run, there) {
  const wanted = state.seed === MEAN ? String(run.seeds[0]) : state.seed;
  return there && wanted in there ? wanted : null;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// The sample standard deviation, 0 of one value.
function deviation(values) {
  if (values.length < 2) return 0;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

const known = new Map(); // series that were asked for before

// What is drawn of a measure of a run: by generation the mean and the standard deviation over seeds, or one seed's values.
function seriesOf(measure, name) {
  const key = JSON.stringify([measure.name, name, state.seed]);
  if (!known.has(key)) known.set(key, computed(measure.runs[name]));
  return known.get(key);
}

function computed(found) {
  if (!found) return null;
  const seeds = state.seed === MEAN ? Object.keys(found.seeds) : [state.seed].filter((seed) => seed in found.seeds);
  if (!seeds.length) return null;
  const series = new Map();
  found.generations.forEach((generation, place) => {
    const values = seeds.map((seed) => found.seeds[seed][place]).filter((value) => value !== null);
    if (values.length) series.set(generation, { mean: mean(values), sd: deviation(values), seeds: values.length });
  });
  return series;
}

// What there is of the latest generation up to this one: a loop may be measured every few generations only.
function latest(series, generation) {
  if (series.has(generation)) return [generation, series.get(generation)];
  const there = [...series.keys()].filter((one) => one <= generation);
  const found = Math.max(...there);
  return there.length ? [found, series.get(found)] : [null, null];
}

// Show a section only where it has something to show.
function sectionOf(id, there) {
  const section = find(id);
  section.hidden = !there;
  return there ? section : null;
}
