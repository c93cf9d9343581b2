// What a generation looks like: its samples beside real images, or its points and the known density.

const sheets = []; // { run, image, frame }

function sheet(uri, title, text) {
  const image = make("img", { alt: text, src: uri ?? "" });
  const frame = make("div", { className: "sheet", style: `--side: ${KNOWN.pictures.side}` }, image);
  return { image, frame, card: make("figure", {}, make("figcaption", {}, ...title), frame) };
}

function drawSheets() {
  const section = sectionOf("#pictures", KNOWN.pictures.generated && chosenRuns().some((run) => run.name in KNOWN.pictures.generated));
  if (!section) return;
  const grid = section.querySelector(".grid");
  grid.replaceChildren();
  sheets.length = 0;
  const runs = chosenRuns().filter((run) => run.name in KNOWN.pictures.generated);
  for (const dataset of new Set(runs.map((run) => run.dataset))) {
    grid.append(sheet(KNOWN.pictures.real[dataset], [`Real (${dataset})`], `Real images of ${dataset}`).card);
    for (const run of runs.filter((one) => one.dataset === dataset)) {
      const { image, frame, card } = sheet(null, [swatch(run), run.label], "");
      grid.append(card);
      sheets.push({ run, image, frame });
    }
  }
  moveSheets();
}

function moveSheets() {
  for (const { run, image, frame } of sheets) {
    const there = KNOWN.pictures.generated[run.name];
    const seed = seedOf(run, there);
    const uri = seed && there[seed][state.generation];
    frame.classList.toggle("empty", !uri);
    frame.dataset.why = seed ? `ends at generation ${run.generations}` : `no pictures of seed ${state.seed} here`;
    image.hidden = !uri;
    if (!uri) continue;
    image.src = uri;
    image.alt = `Samples of ${run.label}, seed ${seed}, generation ${state.generation}`;
  }
}

const OUTSIDE = 65535;
const views = []; // { run, canvas, outside }

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Points as numbers in [0, 1], or null outside the box: x of the first, y of the first, x of the second …
const unpacked = new Map();
function pointsOf(text) {
  if (!unpacked.has(text)) {
    unpacked.set(text, Float32Array.from(new Uint16Array(bytesOf(text).buffer), (n) => (n === OUTSIDE ? -1 : n / (OUTSIDE - 1))));
  }
  return unpacked.get(text);
}

function drawClouds() {
  const section = sectionOf("#clouds", chosenRuns().some((run) => run.name in KNOWN.clouds));
  if (!section) return;
  const grid = section.querySelector(".grid");
  grid.replaceChildren();
  views.length = 0;
  for (const run of chosenRuns().filter((one) => one.name in KNOWN.clouds)) {
    const canvas = make("canvas", { width: 360, height: 360, role: "img" });
    const outside = make("small");
    grid.append(make("figure", {}, make("figcaption", {}, swatch(run), run.label), make("div", { className: "cloud" }, canvas), outside));
    views.push({ run, canvas, outside });
  }
  moveClouds();
}

function moveClouds() {
  for (const view of views) {
    const { run, canvas, outside } = view;
    const cloud = KNOWN.clouds[run.name];
    const there = new Map(Object.entries(cloud.generations).map(([g, text]) => [Number(g), text]));
    const [generation, text] = latest(there, state.generation);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", `Points of ${run.label}, generation ${generation}`);
    const points = pointsOf(text);
    const flat = Array.isArray(cloud.density);
    const missed = flat ? drawLine(pen, cloud, points, run) : drawPlane(pen, cloud, points, run);
    const late = state.generation > run.generations ? `; ends at generation ${run.generations}` : generation < state.generation ? `; generation ${generation}` : "";
    outside.textContent = `${Math.round(100 * missed)} % outside${late}`;
  }
}

// The density as shades of grey, and the points on it; returns the share outside.
function drawPlane(pen, cloud, points, run) {
  const { width, height } = pen.canvas;
  if (!cloud.picture) cloud.picture = shades(bytesOf(cloud.density));
  pen.imageSmoothingEnabled = true;
  pen.drawImage(cloud.picture, 0, 0, width, height);
  pen.fillStyle = colourOf(run);
  pen.globalAlpha = 0.55;
  let outside = 0;
  for (let i = 0; i < points.length; i += 2) {
    if (points[i] < 0) outside += 1;
    else pen.fillRect(points[i] * width - 1.5, (1 - points[i + 1]) * height - 1.5, 3, 3);
  }
  pen.globalAlpha = 1;
  return outside / (points.length / 2);
}

function shades(heights) {
  const side = Math.sqrt(heights.length);
  const canvas = make("canvas", { width: side, height: side });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(side, side);
  heights.forEach((height, i) => image.data.set([128, 128, 128, height * 0.8], 4 * i));
  pen.putImageData(image, 0, 0);
  return canvas;
}

const BARS = 60;

// A histogram of the points, and the density as a line; returns the share outside.
function drawLine(pen, cloud, points, run) {
  const { width, height } = pen.canvas;
  const counts = new Array(BARS).fill(0);
  for (const x of points) if (x >= 0) counts[Math.min(BARS - 1, Math.floor(x * BARS))] += 1;
  const span = cloud.box[1][0] - cloud.box[0][0];
  const bars = counts.map((count) => (count / points.length) * (BARS / span));
  const top = 1.05 * Math.max(...bars, ...cloud.density);
  pen.fillStyle = colourOf(run);
  pen.globalAlpha = 0.6;
  bars.forEach((bar, i) => pen.fillRect((i * width) / BARS, height * (1 - bar / top), width / BARS - 1, (height * bar) / top));
  pen.globalAlpha = 1;
  pen.strokeStyle = colour("faint");
  pen.lineWidth = 2;
  pen.beginPath();
  cloud.density.forEach((p, i) => pen.lineTo((i * width) / (cloud.density.length - 1), height * (1 - p / top)));
  pen.stroke();
  return points.filter((x) => x < 0).length / points.length;
}
