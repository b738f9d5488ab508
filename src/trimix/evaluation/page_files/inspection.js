// Chooses among the maps and tells what lies under the pointer.

const data = JSON.parse(document.getElementById("maps-data").textContent);
const stages = [...document.querySelectorAll("[data-stage]")];
const heat = byId("heat");
let chosen = data.maps.find((map) => map.key === "mixture") ?? data.maps[0];
let kind = "weights";

const bits = reader(data.bits), deviation = reader(data.deviation);
const shares = { weights: data.weights.map(reader), responsibilities: data.responsibilities.map(reader) };

function draw() {
  root.dataset.kind = kind;
  const ofKind = kind === "weights" ? "by weights" : "by responsibilities";
  const description = {
    bits: "bits per pixel",
    deviation: "mean predicted standard deviation",
    mixture: `mixture, ${ofKind}`,
  }[chosen.key] ?? `share of ${chosen.name}, ${ofKind}`;
  heat.src = chosen.sources.all ?? chosen.sources[kind];
  heat.alt = description;
  byId("map-caption").textContent = description;
  byId("ramp-legend").hidden = !chosen.ramp;
  if (byId("mixture-legend")) byId("mixture-legend").hidden = Boolean(chosen.ramp);
  if (chosen.ramp) drawScale(chosen.ramp, chosen.ticks);
  press(byId("maps"), "map", chosen.key);
  if (byId("kinds")) press(byId("kinds"), "kind", kind);
}

function rest() {
  byId("readout").textContent = "Point at the picture for the numbers of a place.";
  for (const stage of stages) stage.querySelector(".cursor").hidden = true;
}

function point(event) {
  const under = placeUnder(event, event.currentTarget, data);
  if (!under) return;
  const { column, row, index: place } = under, found = bits(place);
  const parts = [
    `column ${column * data.stride}, row ${row * data.stride}: ${found.toFixed(1)} bits, ${(found / data.stride ** 2).toFixed(3)} bpp`,
    ...(data.names.length > 1
      ? [data.names.map((name, index) => `${name} ${(100 * shares[kind][index](place)).toFixed(0)} %`).join(", ")]
      : []),
    `scale ${deviation(place).toFixed(2)}`,
  ];
  byId("readout").textContent = parts.join(" · ");
  for (const stage of stages) {
    const cursor = stage.querySelector(".cursor");
    cursor.hidden = false;
    cursor.style.left = `${(100 * column * data.stride) / data.width}%`;
    cursor.style.top = `${(100 * row * data.stride) / data.height}%`;
    cursor.style.width = `${(100 * data.stride) / data.width}%`;
    cursor.style.height = `${(100 * data.stride) / data.height}%`;
  }
}

byId("maps").addEventListener("click", (event) => {
  const found = data.maps.find((map) => map.key === event.target.dataset.map);
  if (!found) return;
  chosen = found;
  draw();
});
byId("kinds")?.addEventListener("click", (event) => {
  if (!event.target.dataset.kind) return;
  kind = event.target.dataset.kind;
  draw();
});
byId("opacity").addEventListener("input", (event) => {
  heat.style.opacity = event.target.value / 100;
});
for (const stage of stages) {
  stage.addEventListener("pointermove", point);
  stage.addEventListener("pointerdown", point);
  stage.addEventListener("pointerleave", rest);
}
byId("map-controls").hidden = false;
draw();
rest();
