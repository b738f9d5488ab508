// What all parts of a report share.

const report = JSON.parse(document.getElementById("report-data").textContent);
const pictures = JSON.parse(document.getElementById("pictures-data").textContent);
const curveOf = Object.fromEntries(report.curves.map((curve) => [curve.key, curve]));
const absent = "–";

function dot(key) {
  return element("i", { class: "dot", style: `background: var(--series-${key})` });
}

function codecHeading(curve) {
  const remarks = [...(curve.detail ? [element("span", { class: "detail" }, `${curve.detail}, `)] : []), "published"];
  return element("th", { scope: "row", class: curve.published ? "published" : null },
    element("span", { class: "name" }, dot(curve.key), curve.short_name),
    ...(curve.published ? [" ", element("small", {}, ...remarks)] : []));
}

// Infinity stands as a text in JSON.
function number(value) {
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
}

function fixed(value, decimals) {
  const found = number(value);
  if (found === null || found === undefined) return absent;
  return Number.isFinite(found) ? found.toFixed(decimals).replace("-", "−") : "∞";
}

function grouped(value) {
  return Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");
}

function fill(select, entries, chosen) {
  select.replaceChildren(
    ...entries.map(([value, text, disabled = false]) =>
      element("option", { value, selected: value === chosen, disabled }, text)),
  );
}

function colourOf(variable) {
  const probe = element("span", { style: `color: var(${variable})`, hidden: true });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// The distortion that plot and BD-rates speak of.
let metric = report.metrics[0];
const metricListeners = [];

byId("metrics").addEventListener("click", (event) => {
  const found = report.metrics.find((one) => one.key === event.target.dataset.metric);
  if (!found) return;
  metric = found;
  press(byId("metrics"), "metric", metric.key);
  for (const listener of metricListeners) listener();
});
