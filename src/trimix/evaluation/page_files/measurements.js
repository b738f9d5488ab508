// Every picture at every quality: filtered by choice, sorted by a press on a heading.

const columns = [
  ["Picture", 1, (value) => value],
  ["Codec", 0, (value) => curveOf[value].name],
  ["Quality", 2, (value) => String(value)],
  ["Bytes", 3, grouped],
  ["bpp", 4, (value) => fixed(value, 3)],
  ["PSNR RGB", 5, (value) => fixed(value, 2)],
  ["PSNR Y", 6, (value) => fixed(value, 2)],
  ["MS-SSIM", 7, (value) => fixed(value, 4)],
  ["SSIMULACRA2", 8, (value) => fixed(value, 1)],
  ["Butteraugli", 9, (value) => fixed(value, 3)],
  ["Encoding, s", 10, (value) => fixed(value, 3)],
  ["Decoding, s", 11, (value) => fixed(value, 3)],
];
const numeric = (column) => column > 1;
let order = { column: 0, descending: false };

function sortKey(row, [, index, show]) {
  return index < 2 ? show(row[index]) : number(row[index]);
}

function compare(one, other) {
  const [first, second] = [one, other].map((row) => sortKey(row, columns[order.column]));
  if (first === null || second === null) return Number(first === null) - Number(second === null); // unknown ones last
  const difference = typeof first === "string"
    ? first.localeCompare(second, "en", { numeric: true })
    : first === second ? 0 : first - second;
  return order.descending ? -difference : difference;
}

function drawMeasurements() {
  const codec = byId("measurements-codec").value, picture = byId("measurements-picture").value;
  const rows = report.measurements
    .filter((row) => (!codec || row[0] === codec) && (!picture || row[1] === picture))
    .sort((one, other) => compare(one, other) || one[4] - other[4]);
  byId("measurements-count").textContent = `${rows.length} of ${report.measurements.length} rows`;
  const table = byId("measurements-table");
  table.tHead.replaceChildren(element("tr", {}, ...columns.map(([heading], column) => element("th", {
    scope: "col",
    class: numeric(column) ? "number" : null,
    "aria-sort": column === order.column ? (order.descending ? "descending" : "ascending") : null,
  }, element("button", { type: "button", onclick: () => sortBy(column) }, heading)))));
  table.tBodies[0].replaceChildren(...rows.map((row) => element("tr", {},
    ...columns.map(([, index, show], column) => column === 0
      ? element("th", { scope: "row" }, show(row[index]))
      : element("td", { class: numeric(column) ? "number" : null }, ...(index === 0 ? [dot(row[0])] : []),
          row[index] === null ? absent : show(row[index]))))));
}

function sortBy(column) {
  order = { column, descending: order.column === column && !order.descending };
  drawMeasurements();
  byId("measurements-table").tHead.querySelectorAll("button")[column].focus();
}

if (report.measurements.length) {
  const codecs = [...new Set(report.measurements.map((row) => row[0]))];
  const names = [...new Set(report.measurements.map((row) => row[1]))];
  fill(byId("measurements-codec"), [["", "all"], ...codecs.map((key) => [key, curveOf[key].name])], codecs[0]);
  fill(byId("measurements-picture"), [["", "all"], ...names.map((name) => [name, name])], "");
  for (const name of ["measurements-codec", "measurements-picture"]) byId(name).addEventListener("change", drawMeasurements);
  drawMeasurements();
}
