// What all pages share. Names come from results and models: they are only ever set as text.

const root = document.documentElement;

function byId(name) {
  return document.getElementById(name);
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function press(group, attribute, value) {
  for (const button of group.querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(button.dataset[attribute] === String(value)));
}

// Values of a map, of 16 bits each, and the place under the pointer; null beyond the map.
function reader({ values, step }) {
  const view = new DataView(Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0)).buffer);
  return (place) => view.getUint16(2 * place, true) * step;
}

function placeUnder(event, stage, { width, height, stride, rows, columns }) {
  const bounds = stage.getBoundingClientRect();
  const column = Math.floor(((event.clientX - bounds.left) / bounds.width) * width / stride);
  const row = Math.floor(((event.clientY - bounds.top) / bounds.height) * height / stride);
  return column < 0 || row < 0 || column >= columns || row >= rows ? null : { column, row, index: row * columns + column };
}

function drawScale(colours, ticks) {
  byId("ramp").style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  byId("ticks").replaceChildren(...ticks.map((tick) => element("span", {}, tick)));
}

// The theme: that of the system until the button is pressed.
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const themeListeners = [];

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : systemIsDark.matches;
}

function themeChanged() {
  byId("theme").textContent = isDark() ? "Light theme" : "Dark theme";
  for (const listener of themeListeners) listener();
}

byId("theme").hidden = false;
byId("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  themeChanged();
});
systemIsDark.addEventListener("change", themeChanged);
root.classList.add("scripted");
queueMicrotask(themeChanged); // once all parts are there
