// What the page knows, what it shows now, and who has to be told of a change. The state is in the address.
"use strict";

const KNOWN = JSON.parse(document.getElementById("known").textContent);
const RUNS = new Map(KNOWN.runs.map((run) => [run.name, run]));
const MEASURES = new Map(KNOWN.measures.map((measure) => [measure.name, measure]));
const LAST = Math.max(...KNOWN.runs.map((run) => run.generations));
const SEEDS = [...new Set(KNOWN.runs.flatMap((run) => run.seeds))].sort((a, b) => a - b);
const MEAN = "mean"; // of all seeds

const USUAL = {
  generation: 1,
  runs: KNOWN.runs.slice(0, 10).map((run) => run.name),
  seed: MEAN,
  measures: KNOWN.measures.slice(0, 6).map((measure) => measure.name),
  log: [],
  run: KNOWN.runs[0].name,
  untested: false,
  theme: "",
};

const state = { ...USUAL };
const watchers = [];

// Call `draw` whenever one of these keys of the state changes.
function watch(keys, draw) {
  watchers.push({ keys, draw });
}

// Change the state, and tell all who watch what is different.
function set(change) {
  const keys = Object.keys(change).filter((key) => String(change[key]) !== String(state[key]));
  if (!keys.length) return;
  Object.assign(state, change);
  for (const { keys: watched, draw } of watchers) if (watched.some((key) => keys.includes(key))) draw();
  remember();
}

// The state as the part of an address after its #; what is as usual is left out.
function address() {
  const said = new URLSearchParams();
  for (const [key, usual] of Object.entries(USUAL)) {
    if (String(state[key]) !== String(usual)) said.set(key, String(state[key]));
  }
  return said.toString().replaceAll("%2C", ",");
}

// What an address says of the state; what cannot be is passed over.
function stateOf(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const list = (key, known) => (said.get(key) ? said.get(key).split(",").filter((name) => known.has(name)) : []);
  const found = { ...USUAL };
  const generation = Number(said.get("generation"));
  if (Number.isInteger(generation) && generation >= 1) found.generation = Math.min(generation, LAST);
  if (said.has("runs")) found.runs = list("runs", RUNS);
  if (said.has("measures")) found.measures = list("measures", MEASURES);
  if (said.has("log")) found.log = list("log", MEASURES);
  if (SEEDS.map(String).includes(said.get("seed"))) found.seed = said.get("seed");
  if (RUNS.has(said.get("run"))) found.run = said.get("run");
  if (["light", "dark"].includes(said.get("theme"))) found.theme = said.get("theme");
  found.untested = said.get("untested") === "true";
  return found;
}

let remembering = 0;

// Browsers refuse too many changes of the address in a short time.
function remember() {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    const said = address();
    history.replaceState(null, "", said ? `#${said}` : location.pathname + location.search);
  }, 150);
}

Object.assign(state, stateOf(location.hash));
window.addEventListener("hashchange", () => set(stateOf(location.hash)));
