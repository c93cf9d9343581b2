// The slider, the keys, what can be chosen; and at the end, all parts are drawn and told what to watch.

const PLAY = 500; // milliseconds a generation
let playing = 0;

const go = (generation) => set({ generation: Math.min(LAST, Math.max(1, generation)) });

function play(on) {
  clearInterval(playing);
  playing = 0;
  if (on) {
    if (state.generation === LAST) go(1);
    playing = setInterval(() => (state.generation < LAST ? go(state.generation + 1) : play(false)), PLAY);
  }
  find("#play").textContent = on ? "❚❚" : "▶";
  find("#play").setAttribute("aria-label", on ? "Pause" : "Play");
}

find("#slider").max = LAST;
find("#slider").addEventListener("input", (event) => go(Number(event.target.value)));
find("#back").addEventListener("click", () => go(state.generation - 1));
find("#forth").addEventListener("click", () => go(state.generation + 1));
find("#play").addEventListener("click", () => play(!playing));

const KEYS = {
  ArrowLeft: () => go(state.generation - 1),
  ArrowRight: () => go(state.generation + 1),
  Home: () => go(1),
  End: () => go(LAST),
  " ": () => play(!playing),
};

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, select, button, summary, textarea") && event.target.id !== "slider";
  if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (busy || (event.target.id === "slider" && event.key !== " ")) return;
  event.preventDefault();
  KEYS[event.key]();
});

// A box that is checked while `name` is in the list `key` of the state, whose order is that of `order`.
function chip(key, name, label, order, mark = "") {
  const box = make("input", { type: "checkbox", value: name });
  box.addEventListener("change", () => {
    const chosen = new Set(state[key]);
    if (box.checked) chosen.add(name);
    else chosen.delete(name);
    set({ [key]: order.filter((one) => chosen.has(one)) });
  });
  return make("label", { className: "chip", title: name }, box, mark, label);
}

function checkChips(key) {
  for (const box of document.querySelectorAll(`#${key} input`)) box.checked = state[key].includes(box.value);
}

const NAMES = { runs: [...RUNS.keys()], measures: [...MEASURES.keys()] };

function drawChips() {
  find("#runs").replaceChildren(...KNOWN.runs.map((run) => chip("runs", run.name, run.label, NAMES.runs, swatch(run))));
  checkChips("runs");
}

find("#measures").append(...KNOWN.measures.map((measure) => chip("measures", measure.name, measure.label, NAMES.measures)));
find("#all-runs").addEventListener("click", () => set({ runs: visibleRuns() }));
find("#no-runs").addEventListener("click", () => set({ runs: [] }));

// The runs that the field "find" leaves; "all" chooses these.
function visibleRuns() {
  const text = find("#find").value.toLowerCase();
  return KNOWN.runs.filter((run) => `${run.name} ${run.label}`.toLowerCase().includes(text)).map((run) => run.name);
}

find("#find").addEventListener("input", () => {
  const there = new Set(visibleRuns());
  for (const box of document.querySelectorAll("#runs input")) box.parentElement.hidden = !there.has(box.value);
});

const every = SEEDS.length > 1 ? `all ${SEEDS.length}: mean ± s.d.` : "the only one";
find("#seed").append(make("option", { value: MEAN }, every), ...SEEDS.map((seed) => make("option", { value: seed }, String(seed))));
find("#seed").addEventListener("change", (event) => set({ seed: event.target.value }));
find("#shown").append(...KNOWN.runs.map((run) => make("option", { value: run.name }, `${run.label} (${run.name})`)));
find("#shown").addEventListener("change", (event) => set({ run: event.target.value }));
find("#untested").addEventListener("change", (event) => set({ untested: event.target.checked }));
find("#critic").addEventListener("change", drawCritics);
find("#generator").addEventListener("change", drawCritics);

const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (state.theme ? state.theme === "dark" : dark.matches);
find("#theme").addEventListener("click", () => set({ theme: isDark() ? "light" : "dark" }));
dark.addEventListener("change", () => redraw());

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
find("#summary").textContent = [plural(KNOWN.runs.length, "run"), plural(LAST, "generation"), plural(SEEDS.length, "seed")].join(", ");
find("#made").textContent = `${KNOWN.made.join("; ")}. Curves are drawn by uPlot (MIT licence).`;
find("#curves").hidden = !KNOWN.measures.length;
find("#values").hidden = !KNOWN.measures.length;
if (window.innerWidth < 700) find("#choice").open = false;

// Everything whose colours depend on the theme.
function redraw() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  find("#theme").textContent = isDark() ? "Light" : "Dark";
  drawChips();
  for (const draw of [drawSheets, drawClouds, drawCurves, drawValues, drawClasses, drawVerdicts]) draw();
}

let telling = 0;

function tellGeneration() {
  find("#slider").value = state.generation;
  find("#place").textContent = `${state.generation} of ${LAST}`;
  for (const place of document.querySelectorAll(".generation")) place.textContent = state.generation;
  clearTimeout(telling); // a screen reader need not hear every step of a long way
  telling = setTimeout(() => (find("#told").textContent = `generation ${state.generation} of ${LAST}`), 400);
}

function checkRuns() {
  checkChips("runs");
  find("#seed").value = state.seed;
}

watch(["theme"], redraw);
watch(["generation"], () => {
  for (const move of [tellGeneration, moveSheets, moveClouds, moveMarks, drawValues, moveClasses, moveCritics]) move();
});
watch(["runs", "seed"], () => {
  for (const draw of [checkRuns, drawSheets, drawClouds, drawCurves, drawValues, drawClasses, drawVerdicts]) draw();
});
watch(["measures", "log"], () => {
  checkChips("measures");
  drawCurves();
  drawValues();
});
watch(["run"], drawRun);
watch(["untested"], drawClaims);

checkChips("measures");
for (const draw of [redraw, checkRuns, tellGeneration, drawRun, drawClaims, drawCritics]) draw();
document.documentElement.dataset.ready = "true"; // for tests
