// Tables and bars: values, classes, critics, verdicts, claims, and one run in full.

// A table of rows of cells, the first of which names the row; a cell is text or an element.
function fill(table, caption, head, rows) {
  table.replaceChildren(
    make("caption", { className: "unseen" }, caption),
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows.map(([first, ...cells]) =>
      make("tr", {}, make("th", { scope: "row" }, ...[first].flat()), ...cells.map((cell) => make("td", {}, cell))))),
  );
}

function drawValues() {
  const measures = state.measures.map((name) => MEASURES.get(name));
  const rows = chosenRuns().map((run) => [
    [swatch(run), run.label],
    ...measures.map((measure) => {
      const series = seriesOf(measure, run.name);
      const [generation, value] = latest(series ?? new Map(), state.generation);
      if (!value) return "–";
      const written = value.seeds > 1 ? `${said(value.mean)} ± ${said(value.sd)}` : said(value.mean);
      return generation === state.generation ? written : `${written} (gen. ${generation})`;
    }),
  ]);
  fill(find("#values table"), "Values of the measures", ["run", ...measures.map((measure) => measure.label)], rows);
}

const histograms = []; // { run, names, real, bars, lines, box, none }

function drawClasses() {
  const shares = KNOWN.classes.shares;
  const section = sectionOf("#classes", chosenRuns().some((run) => run.name in shares));
  if (!section) return;
  histograms.length = 0;
  section.querySelector(".grid").replaceChildren(
    ...chosenRuns().filter((run) => run.name in shares).map((run) => histogram(run)));
  moveClasses();
}

// The shares of a run's classes at this generation: of a seed, or the mean over seeds.
function sharesOf(run) {
  const there = KNOWN.classes.shares[run.name];
  const seeds = state.seed === MEAN ? Object.keys(there) : [state.seed].filter((seed) => seed in there);
  const each = seeds.map((seed) => there[seed][state.generation]).filter(Boolean);
  return each.length ? each[0].map((_, place) => mean(each.map((one) => one[place] ?? 0))) : null;
}

const MOST_NAMES = 12; // of classes that can be written below their bars

// Empty bars, one for each class, and lines at the shares of real images.
function histogram(run) {
  const names = KNOWN.classes.names[run.dataset] ?? [];
  const real = KNOWN.classes.real[run.dataset] ?? [];
  const count = Math.max(names.length, real.length, sharesOf(run)?.length ?? 0);
  const places = Array.from({ length: count }, (_, place) => place);
  const bars = places.map(() => make("div", { className: "of", style: `background: ${colourOf(run)}` }));
  const lines = places.map(() => make("div", { className: "real" }));
  const box = make("div", { className: "bars", role: "img" }, ...places.map((place) => make("div", { className: "bar" }, bars[place], lines[place])));
  const written = count > MOST_NAMES ? [] : places.map((place) => make("span", {}, String(names[place] ?? place)));
  const long = names.some((name) => String(name).length > 2) ? "names long" : "names";
  const none = make("small");
  histograms.push({ run, names, real, bars, lines, box, none });
  return make("figure", {}, make("figcaption", {}, swatch(run), run.label), box, make("div", { className: long, "aria-hidden": "true" }, ...written), none);
}

function moveClasses() {
  for (const { run, names, real, bars, lines, box, none } of histograms) {
    const shares = sharesOf(run);
    none.textContent = shares ? "" : "not measured";
    const shown = shares ?? [];
    const top = Math.max(0.01, ...shown, ...real);
    bars.forEach((bar, place) => {
      bar.style.height = `${(100 * (shown[place] ?? 0)) / top}%`;
      bar.parentElement.title = `${names[place] ?? place}: ${said(100 * (shown[place] ?? 0))} %`;
    });
    lines.forEach((line, place) => {
      line.hidden = real[place] === undefined;
      line.style.bottom = `${(100 * (real[place] ?? 0)) / top}%`;
    });
    const most = shown.indexOf(Math.max(...shown));
    box.setAttribute("aria-label", shares ? `Classes of ${run.label}: most are ${names[most] ?? most}, ${said(100 * shown[most])} %` : "not measured");
  }
}

function drawCritics() {
  const section = sectionOf("#critics", Object.keys(KNOWN.critics).length);
  if (!section) return;
  const [critic, generator] = [find("#critic"), find("#generator")];
  const options = (names, select) => {
    const before = select.value;
    select.replaceChildren(...names.map((name) => make("option", { value: name }, RUNS.get(name).label)));
    if (names.includes(before)) select.value = before;
  };
  options(Object.keys(KNOWN.critics), critic);
  options(Object.keys(KNOWN.critics[critic.value]), generator);
  const matrix = KNOWN.critics[critic.value][generator.value];
  const rows = matrix.map((row, i) => make("tr", {}, make("th", { scope: "row" }, String(i + 1)),
    ...row.map((share, j) => {
      const cell = make("td", { className: "cell", tabIndex: -1 }, share === null ? "" : String(Math.round(100 * share)));
      cell.style.setProperty("--share", share ?? 0);
      const tell = () => {
        section.querySelector(".hover").textContent = `The critic of generation ${i + 1} calls ${said(100 * share)} % of generation ${j + 1}'s samples generated.`;
      };
      cell.addEventListener("pointerenter", tell);
      cell.addEventListener("click", () => set({ generation: j + 1 }));
      return cell;
    })));
  const head = make("tr", {}, make("th", { scope: "col" }, "%"), ...matrix[0].map((_, j) => make("th", { scope: "col" }, String(j + 1))));
  section.querySelector("table").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
  moveCritics();
}

function moveCritics() {
  for (const row of document.querySelectorAll("#critics tbody tr")) {
    [...row.querySelectorAll("td")].forEach((cell, j) => cell.classList.toggle("now", j + 1 === state.generation));
  }
}

function drawVerdicts() {
  if (!sectionOf("#verdicts", KNOWN.runs.some((run) => run.verdict))) return;
  const rows = chosenRuns().map((run) => [[swatch(run), run.label], badge(run.verdict), run.reason]);
  fill(find("#verdicts table"), "What became of each run", ["run", "verdict", "reason"], rows);
}

// Verdicts and claims in colour: what is bad, and what agrees.
const COLOURS = [["disagree", "bad"], ["contradict", "bad"], ["collapse", "bad"], ["drift", "worse"], ["stable", "good"], ["agree", "good"], ["verified", "good"]];

function badge(verdict) {
  const [, kind] = COLOURS.find(([word]) => verdict.includes(word)) ?? ["", ""];
  return make("span", { className: `badge ${kind}` }, verdict);
}

function drawClaims() {
  if (!sectionOf("#claims", KNOWN.claims.length)) return;
  const shown = KNOWN.claims.filter((claim) => state.untested || claim.verdict !== "not tested");
  find("#untested").checked = state.untested;
  const rows = shown.map((claim) => [claim.paper, claim.claim, badge(claim.verdict), [claim.numbers, claim.reason].filter(Boolean).join(" – ")]);
  find("#claims .note").hidden = shown.length > 0;
  find("#claims table").hidden = !shown.length;
  fill(find("#claims table"), "What papers say, and what these runs find", ["paper", "claim", "verdict", "found"], rows);
}

function drawRun() {
  const run = RUNS.get(state.run);
  find("#shown").value = run.name;
  find("#command").textContent = `snakemake --cores 2 --configfile results/${KNOWN.experiment}/config.yaml --config only=${run.name}`;
  const facts = [["seeds", run.seeds.join(", ")], ["generations", String(run.generations)], ...Object.entries(run.spec)];
  fill(find("#run table"), "Its full specification", ["key", "value"], facts);
}
