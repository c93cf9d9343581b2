// Every chosen measure as curves over generations, with bands, floors, theory and published values.

const HEIGHT = 210;
const charts = []; // { plot, mark, place }

// The numbers of one chart, and how each series of them is drawn.
function columnsOf(measure, log) {
  const generations = Array.from({ length: LAST }, (_, place) => place + 1);
  const shown = (value) => (value === undefined || (log && value <= 0) ? null : value);
  const data = [generations];
  const series = [{ label: "generation" }];
  const bands = [];
  const add = (values, style) => data.push(values.map(shown)) && series.push({ points: { show: false }, ...style });
  const still = { width: 1, dash: [6, 4], stroke: colour("faint") };
  for (const floor of new Set(chosenRuns().map((run) => measure.floors[run.name]))) {
    if (floor !== undefined) add(generations.map(() => floor), { ...still, label: "real data against real data" });
  }
  for (const run of chosenRuns()) {
    const found = seriesOf(measure, run.name);
    if (!found) continue;
    const of = (pick) => generations.map((generation) => found.has(generation) ? pick(found.get(generation)) : undefined);
    const ink = colourOf(run);
    if ([...found.values()].some((value) => value.seeds > 1)) {
      const place = series.length;
      add(of((value) => value.mean + value.sd), { width: 0, spanGaps: true });
      add(of((value) => value.mean - value.sd), { width: 0, spanGaps: true });
      bands.push({ series: [place, place + 1], fill: `${ink}26` });
    }
    const few = found.size < 40;
    const points = { show: few, size: 5, fill: ink };
    add(of((value) => value.mean), { label: run.label, stroke: ink, width: 2, dash: DASHES[run.line], spanGaps: true, points });
    const theory = measure.theory[run.name];
    if (theory) add(generations.map((g) => theory[g - 1] ?? undefined), { stroke: ink, width: 1.5, dash: [1, 4] });
    const published = new Map(measure.published[run.name] ?? []);
    if (published.size) {
      const hollow = { show: true, size: 9, fill: colour("paper"), stroke: ink };
      add(generations.map((g) => published.get(g)), { label: `${run.label}, published`, paths: () => null, points: hollow });
    }
  }
  return { data, series, bands };
}

// What the curves say where the pointer is.
function readout(box) {
  return (plot) => {
    const place = plot.cursor.idx;
    box.hidden = place === null || place === undefined;
    if (box.hidden) return;
    const lines = plot.series
      .map((series, i) => ({ series, value: plot.data[i][place] }))
      .filter(({ series, value }, i) => i && series.label && value !== null && value !== undefined)
      .sort((a, b) => b.value - a.value)
      .map(({ series, value }) => make("div", {},
        make("span", { className: "swatch", style: `background: ${series._stroke ?? "transparent"}` }),
        `${series.label} ${said(value)}`));
    box.replaceChildren(make("b", {}, `generation ${plot.data[0][place]}`), ...lines);
    box.style.left = plot.cursor.left < plot.over.clientWidth / 2 ? "auto" : "3.5rem";
    box.style.right = plot.cursor.left < plot.over.clientWidth / 2 ? "0.5rem" : "auto";
  };
}

function axis(given) {
  const line = { stroke: colour("line"), width: 1 };
  return { stroke: colour("ink"), font: "12px system-ui", ticks: line, grid: line, ...given };
}

// Whole generations, the first always among them.
function ticks() {
  const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((one) => LAST / one <= 8);
  const later = Array.from({ length: Math.floor(LAST / step) }, (_, place) => (place + 1) * step);
  return [1, ...later.filter((generation) => generation > 1 + step / 2)];
}

function chart(measure) {
  const log = state.log.includes(measure.name);
  const { data, series, bands } = columnsOf(measure, log);
  const heading = make("h3", { title: measure.name }, measure.label);
  const scale = make("button", { type: "button", className: "scale", "aria-pressed": log, "aria-label": `Logarithmic axis of ${measure.label}` }, "log");
  scale.addEventListener("click", () => {
    set({ log: log ? state.log.filter((name) => name !== measure.name) : [...state.log, measure.name] });
  });
  const notes = [...new Set(chosenRuns().map((run) => measure.runs[run.name]?.note).filter(Boolean))];
  const place = make("div", { className: "plot", role: "img", "aria-label": `${measure.label} over generations; its values stand in the table below` });
  const box = make("div", { className: "readout", hidden: true });
  const card = make("figure", { className: "chart" }, make("figcaption", {}, heading, make("small", {}, notes.join("; ")), scale), place, box);
  find("#curves .grid").append(card);
  if (series.length === 1) {
    place.append(make("p", { className: "note" }, "None of these runs has it."));
    return;
  }
  const mark = make("div", { className: "mark" });
  const options = {
    width: Math.max(place.clientWidth, 120),
    height: HEIGHT,
    series,
    bands,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, sync: { key: "generations" }, points: { show: false }, y: false },
    scales: { x: { time: false, range: [0.5, LAST + 0.5] }, y: { distr: log ? 3 : 1 } },
    axes: [
      axis({ splits: ticks, size: 34, grid: { show: false } }),
      axis({ size: 58, values: (_, splits) => splits.map((value) => value === null ? "" : said(value)) }),
    ],
    hooks: { setCursor: [readout(box)], setSize: [() => moveMarks()] },
  };
  const plot = new uPlot(options, data, place);
  plot.over.append(mark);
  plot.over.addEventListener("click", () => {
    if (plot.cursor.idx !== null) set({ generation: plot.data[0][plot.cursor.idx] });
  });
  charts.push({ plot, mark, place });
}

function drawCurves() {
  for (const { plot } of charts.splice(0)) plot.destroy();
  find("#curves .grid").replaceChildren();
  const shown = state.measures.map((name) => MEASURES.get(name));
  for (const measure of shown) chart(measure);
  const several = state.seed === MEAN && chosenRuns().some((run) => run.seeds.length > 1);
  const seen = (kind) => shown.some((measure) => chosenRuns().some((run) => run.name in measure[kind]));
  find("#curves .note").textContent = [
    state.seed === MEAN ? (several ? "Mean and standard deviation over seeds." : "One seed.") : `Seed ${state.seed}.`,
    seen("floors") ? "Dashed grey: real data against real data." : "",
    seen("theory") ? "Dotted: what theory expects." : "",
    seen("published") ? "Hollow circles: as published." : "",
  ].join(" ");
  moveMarks();
}

// The mark of the generation is an element of its own: moving it draws no curve anew.
function moveMarks() {
  for (const { plot, mark } of charts) {
    mark.style.transform = `translateX(${Math.round(plot.valToPos(state.generation, "x"))}px)`;
  }
}

new ResizeObserver(() => {
  for (const { plot, place } of charts) {
    if (place.clientWidth && place.clientWidth !== plot.width) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }
}).observe(find("#curves"));
