// Rate-distortion curves: a legend of buttons, and a Plotly plot in place of the still figure.

const shown = new Set(report.curves.filter((curve) => curve.shown).map((curve) => curve.key));
let allOffered = false;
const dashes = { solid: "", dash: "6 3", dot: "1.5 2.5", dashdot: "6 2.5 1.5 2.5", longdash: "10 3" };

function hasMetric(curve) {
  return curve.points.some((point) => point[metric.key] !== null);
}

function swatch(curve) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 30 12");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", "M1 6H29");
  line.setAttribute("style", `stroke: var(--series-${curve.key}); stroke-width: ${curve.published ? 1.8 : 2.6}; fill: none`);
  line.setAttribute("stroke-dasharray", dashes[curve.dash]);
  svg.append(line);
  if (!curve.published) {
    const marker = document.createElementNS(space, "path");
    marker.setAttribute("d", markers[curve.marker]);
    marker.setAttribute("style", `fill: var(--series-${curve.key})`);
    svg.append(marker);
  }
  return svg;
}

const markers = {
  circle: "M15 2a4 4 0 1 0 .01 0Z",
  square: "M11 2h8v8h-8Z",
  diamond: "M15 1l5 5-5 5-5-5Z",
  "triangle-up": "M15 1l5 9H10Z",
  "triangle-down": "M15 11l5-9H10Z",
  pentagon: "M15 1l5 3.8-2 6h-6l-2-6Z",
  star: "M15 0l1.6 4h4.2l-3.4 2.7 1.3 4.3-3.7-2.5-3.7 2.5 1.3-4.3L9.2 4h4.2Z",
};

function legendButton(curve) {
  return element("button", {
    type: "button",
    "data-curve": curve.key,
    "aria-pressed": String(shown.has(curve.key) && hasMetric(curve)),
    disabled: !hasMetric(curve),
    title: hasMetric(curve) ? curve.detail || null : `no ${metric.name}`,
    onclick: () => toggle(curve.key),
  }, swatch(curve), element("span", {}, curve.short_name));
}

function drawLegend() {
  const groups = [["Measured", false], ["Published", true]].map(([heading, published]) => {
    const curves = report.curves.filter((curve) => curve.published === published);
    if (!curves.length) return null;
    const first = curves.filter((curve) => curve.shown || allOffered || shown.has(curve.key));
    const more = curves.length - first.length;
    return element("div", { role: "group", "aria-label": `${heading} curves` }, element("h3", {}, heading),
      element("div", {}, ...first.map(legendButton), ...(more ? [element("button", {
        type: "button",
        class: "more",
        onclick: () => {
          allOffered = true;
          drawLegend();
          byId("legend").querySelector(`[data-curve="${curves[curves.length - more].key}"]`).focus();
        },
      }, `${more} more`)] : [])));
  });
  byId("legend").replaceChildren(...groups.filter(Boolean));
}

function toggle(key) {
  if (!shown.delete(key)) shown.add(key);
  drawLegend();
  byId("legend").querySelector(`[data-curve="${key}"]`).focus();
  drawPlot();
}

// Plotly reads a little markup in texts.
function literal(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function traces(dark) {
  return report.curves.filter((curve) => shown.has(curve.key) && hasMetric(curve)).reverse().map((curve) => {
    const points = curve.points.filter((point) => point[metric.key] !== null);
    const colour = curve.colours[dark ? 1 : 0];
    return {
      uid: curve.key,
      type: "scatter",
      mode: curve.published ? "lines" : "lines+markers",
      name: literal(curve.name),
      x: points.map((point) => point.bpp),
      y: points.map((point) => point[metric.key]),
      customdata: points.map((point) => [
        literal(curve.name),
        point.quality === null ? "" : `quality ${point.quality}<br>`,
        metric.key === "ms_ssim_db" ? `, ${point.ms_ssim.toFixed(4)}`
          : metric.key === "butteraugli_db" ? `, distance ${point.butteraugli.toFixed(3)}` : "",
      ]),
      hovertemplate:
        `<b>%{customdata[0]}</b><br>%{customdata[1]}%{x:.3f} bpp<br>${metric.name} %{y:.2f} ${metric.unit}%{customdata[2]}<extra></extra>`,
      line: { color: colour, width: curve.published ? 1.6 : 2.4, dash: curve.dash },
      marker: { color: colour, size: curve.marker === "star" ? 11 : 8, symbol: curve.marker },
    };
  });
}

const fonts = 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';

function layout({ dark, ink, rule, pale, touch = false, legend = false }) {
  const axis = { gridcolor: rule, zeroline: false, tickfont: { color: pale }, fixedrange: touch, automargin: true };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: fonts, size: 13, color: ink },
    margin: { l: 56, r: 12, t: 12, b: 48 },
    xaxis: { ...axis, title: { text: "rate, bits per pixel" }, range: metric.view.rate.slice(), uirevision: metric.key },
    yaxis: { ...axis, title: { text: metric.axis }, range: metric.view.distortion.slice(), uirevision: metric.key },
    hovermode: "closest",
    hoverlabel: {
      bgcolor: dark ? "#1d2126" : "#ffffff",
      bordercolor: dark ? "#515a63" : "#b9c0c6",
      font: { color: ink, family: fonts },
      align: "left",
    },
    dragmode: touch ? false : "zoom",
    showlegend: legend,
    legend: { traceorder: "reversed", x: 1, xanchor: "right", y: 0.02, yanchor: "bottom", font: { size: 12 }, bgcolor: "rgba(255,255,255,.8)" },
  };
}

const isTouch = matchMedia("(pointer: coarse)").matches;

function drawPlot() {
  for (const still of document.querySelectorAll(".still"))
    still.classList.toggle("current", still.dataset.metric === metric.key);
  if (!window.Plotly) return;
  const dark = isDark();
  const theme = { dark, ink: colourOf("--ink"), rule: colourOf("--rule"), pale: colourOf("--pale"), touch: isTouch };
  Plotly.react(byId("plot"), traces(dark), layout(theme), {
    responsive: true,
    displayModeBar: false,
  });
}

async function download(format) {
  const paper = layout({ dark: false, ink: "#1b1e21", rule: "#dfe2e5", pale: "#5c646b", legend: true });
  paper.paper_bgcolor = paper.plot_bgcolor = "#ffffff";
  paper.font.family = "Helvetica, Arial, sans-serif";
  const figure = { data: traces(false), layout: paper };
  const address = await Plotly.toImage(figure, { format, width: 800, height: 560, scale: format === "png" ? 3 : 1 });
  element("a", { href: address, download: `rate-distortion-${metric.file_name}.${format}` }).click();
}

// The program is compressed: it would be more than half of the page.
async function startPlotly() {
  const bytes = Uint8Array.from(atob(byId("plotly-data").textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(element("script", {}, await new Response(stream).text()));
  byId("plot-frame").classList.add("live");
  drawPlot();
  byId("downloads").hidden = false;
  byId("plot-hint").hidden = isTouch;
  byId("downloads").addEventListener("click", (event) => {
    if (event.target.dataset.format) download(event.target.dataset.format);
  });
}

drawLegend();
drawPlot();
metricListeners.push(drawLegend, drawPlot);
themeListeners.push(drawPlot);
// Without it, the still figures stay, and the metric still chooses among them.
if ("DecompressionStream" in window) startPlotly();
