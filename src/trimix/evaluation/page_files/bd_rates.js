// BD-rates against an anchor, best first.

let anchor = report.anchor;

function drawAnchors() {
  // The chosen one may lack this metric: the first that has it stands in, and the choice comes back later.
  const current = known(curveOf[anchor]) ? anchor : report.curves.find(known).key;
  fill(byId("anchor"), report.curves.map((curve) => [
    curve.key,
    known(curve) ? curve.name : `${curve.name} (no ${metric.name})`,
    !known(curve),
  ]), current);
  return current;
}

function bar(percent, largest, key) {
  const low = Math.min(...largest), high = Math.max(...largest), range = high - low || 1;
  const zero = (100 * -low) / range, end = (100 * (percent - low)) / range;
  return element("span", {},
    element("b", { style: `left: ${zero}%` }),
    element("i", {
      style: `left: ${Math.min(zero, end)}%; width: ${Math.abs(end - zero)}%; background: var(--series-${key})`,
    }));
}

function known(curve) {
  return Boolean(report.bd_rates[metric.key][curve.key]);
}

function drawBdRates() {
  byId("bd-rate-metric").textContent = metric.name;
  byId("bd-rate-unit").textContent = metric.unit;
  const current = drawAnchors();
  const found = report.bd_rates[metric.key][current];
  const rows = report.curves.filter((curve) => curve.key !== current && known(curve)).map((curve) => [curve, found[curve.key]]);
  const without = report.curves.filter((curve) => !known(curve)).map((curve) => curve.short_name);
  byId("bd-rates-note").hidden = !without.length;
  byId("bd-rates-note").textContent = `No ${metric.name} is known of: ${without.join(", ")}.`;
  const numbers = rows.filter(([, rate]) => typeof rate !== "string");
  const reasons = rows.filter(([, rate]) => typeof rate === "string");
  numbers.sort((one, other) => one[1][0] - other[1][0]);
  const ends = [0, ...numbers.map(([, rate]) => rate[0])];
  byId("bd-rates").tBodies[0].replaceChildren(
    ...numbers.map(([curve, [percent, low, high, share]]) => element("tr", {},
      codecHeading(curve),
      element("td", { class: "number" }, `${percent > 0 ? "+" : ""}${fixed(percent, 2)} %`),
      element("td", { class: "bars", "aria-hidden": "true" }, bar(percent, ends, curve.key)),
      element("td", { class: "number" }, `${fixed(low, 1)}–${fixed(high, 1)}`),
      element("td", { class: "number" }, `${fixed(100 * share, 0)} %`))),
    ...reasons.map(([curve, reason]) => element("tr", {},
      codecHeading(curve),
      element("td", { class: "number" }, absent),
      element("td", { class: "reason", colspan: "3" }, reason))),
  );
}

byId("anchor").addEventListener("change", (event) => {
  anchor = event.target.value;
  drawBdRates();
});
metricListeners.push(drawBdRates);
drawBdRates();
