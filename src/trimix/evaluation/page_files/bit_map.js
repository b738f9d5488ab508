// Bits by position, as colours over the picture.

function startBitMap() {
  const { maps, highest, colours } = pictures.bit_maps;
  const stage = byId("bit-map-stage"), heat = byId("bit-map-heat");
  let map = maps[0], bitsOf;

  function draw() {
    bitsOf = reader(map);
    stage.style.aspectRatio = `${map.width} / ${map.height}`;
    // Tall pictures stay within the window.
    stage.style.width = `min(100%, ${1.5 * map.width}px, 68vh * ${map.width / map.height})`;
    byId("bit-map-preview").src = map.preview;
    byId("bit-map-preview").alt = `${map.name} in grey`;
    heat.src = map.heat;
    heat.alt = `Bits per pixel in ${map.name}`;
    // The grid is that of the padded picture: it reaches beyond the border.
    heat.style.width = `${(100 * map.columns * map.stride) / map.width}%`;
    heat.style.height = `${(100 * map.rows * map.stride) / map.height}%`;
    const rows = [["latents", map.latent_bits], ["hyper-latents", map.hyper_latent_bits],
      ["header, checksums and coder", map.remaining_bits], ["file", 8 * map.file_bytes]];
    byId("bit-map-totals").tBodies[0].replaceChildren(...rows.map(([heading, bits]) => element("tr", {},
      element("th", { scope: "row" }, heading),
      element("td", { class: "number" }, grouped(bits)),
      element("td", { class: "number" }, grouped(bits / 8)),
      element("td", { class: "number" }, fixed(bits / (map.width * map.height), 4)))));
    point(null);
  }

  function point(event) {
    const padding = map.padding_bits >= 1 ? ` ${grouped(map.padding_bits)} bits lie in the padding beyond the border.` : "";
    byId("bit-map-readout").textContent = `Point at the picture for the bits of a place.${padding}`;
    if (!event) return;
    const place = placeUnder(event, stage, map);
    if (!place) return;
    const bits = bitsOf(place.index);
    byId("bit-map-readout").textContent =
      `Column ${place.column * map.stride}, row ${place.row * map.stride}: ${fixed(bits, 1)} bits on ${map.stride} × ${map.stride} pixels, ` +
      `${fixed(bits / map.stride ** 2, 3)} bpp`;
  }

  // What is seen, at the size of the picture, with its scale below.
  function download() {
    const width = Math.max(map.width, 480), height = Math.round((width * map.height) / map.width);
    const canvas = element("canvas", { width, height: height + 52 });
    const context = canvas.getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.save();
    context.beginPath();
    context.rect(0, 0, width, height);
    context.clip();
    context.filter = "grayscale(1)";
    context.drawImage(byId("bit-map-preview"), 0, 0, width, height);
    context.filter = "none";
    context.globalAlpha = Number(heat.style.opacity);
    context.imageSmoothingEnabled = false;
    const enlarged = (map.stride * width) / map.width;
    context.drawImage(heat, 0, 0, enlarged * map.columns, enlarged * map.rows);
    context.restore();
    const ramp = context.createLinearGradient(8, 0, width - 8, 0);
    colours.forEach((colour, index) => ramp.addColorStop(index / (colours.length - 1), colour));
    context.fillStyle = ramp;
    context.fillRect(8, height + 10, width - 16, 12);
    context.fillStyle = "#1b1e21";
    context.font = "14px Helvetica, Arial, sans-serif";
    [["left", 0], ["center", 0.5], ["right", 1]].forEach(([align, share]) => {
      context.textAlign = align;
      context.fillText(tick(share), 8 + share * (width - 16), height + 42);
    });
    element("a", { href: canvas.toDataURL("image/png"), download: `bit-map-${map.name.replace(/\.[^.]*$/, "")}.png` }).click();
  }

  function tick(share) {
    return share === 1 ? `≥ ${fixed(highest, 2)} bpp` : fixed(share * highest, 2);
  }

  byId("bit-map-download").addEventListener("click", download);
  drawScale(colours, [0, 0.25, 0.5, 0.75, 1].map(tick));
  fill(byId("bit-map-picture"), maps.map((one, index) => [String(index), one.name]), "0");
  byId("bit-map-picture").addEventListener("change", (event) => {
    map = maps[Number(event.target.value)];
    draw();
  });
  byId("opacity").addEventListener("input", (event) => {
    heat.style.opacity = event.target.value / 100;
  });
  heat.style.opacity = byId("opacity").value / 100;
  stage.addEventListener("pointermove", point);
  stage.addEventListener("pointerdown", point);
  stage.addEventListener("pointerleave", () => point(null));
  draw();
}

if (pictures.pictures.length) startBitMap();
