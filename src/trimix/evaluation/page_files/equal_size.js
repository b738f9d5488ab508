// Two codecs in one picture, with a border that is moved by pointer, touch or keys.

function startEqualSize() {
  const stage = byId("stage"), split = byId("split");
  let picture = pictures.pictures[0];
  let scale = 2, place = 50;

  function drawSide(side) {
    const rendition = picture.renditions[Number(byId(`${side}-side`).value)] ?? picture.renditions[0];
    const shownPicture = byId(`${side}-picture`);
    shownPicture.src = rendition.source;
    shownPicture.alt = `${picture.name}, ${rendition.name}`;
    byId(`${side}-tag`).textContent = rendition.name;
    const facts = rendition.bytes === null ? ["not compressed"] : [
      `${grouped(rendition.bytes)} bytes, ${fixed(rendition.bpp, 3)} bpp`,
      `PSNR ${fixed(rendition.psnr_db, 2)} dB`,
      ...(rendition.ms_ssim === null ? [] : [`MS-SSIM ${fixed(rendition.ms_ssim, 4)}`]),
      ...(rendition.ssimulacra2 === null ? [] : [`SSIMULACRA2 ${fixed(rendition.ssimulacra2, 1)}`]),
    ];
    byId(`${side}-caption`).replaceChildren(element("b", {}, rendition.name), ...facts.map((fact) => element("span", {}, fact)));
  }

  function dotOfName(name) {
    const curve = report.curves.find((one) => !one.published && one.name === name);
    return curve ? [dot(curve.key)] : [];
  }

  // Pixels as they are where each takes whole ones of the screen; else they would be of uneven size.
  function sharpen() {
    stage.classList.toggle("crisp", stage.clientWidth % picture.region.width === 0);
  }

  function drawSides() {
    drawSide("left");
    drawSide("right");
    moveTo(place);
  }

  function moveTo(percent) {
    place = Math.min(100, Math.max(0, percent));
    stage.style.setProperty("--split", `${place}%`);
    split.setAttribute("aria-valuenow", String(Math.round(place)));
    split.setAttribute("aria-valuetext", `${Math.round(place)} % ${byId("left-side").selectedOptions[0].text}`);
  }

  function drawPicture() {
    const { region } = picture;
    stage.style.aspectRatio = `${region.width} / ${region.height}`;
    byId("viewer").style.width = `${scale * region.width}px`;
    sharpen();
    press(byId("pictures"), "picture", pictures.pictures.indexOf(picture));
    press(byId("magnification"), "scale", scale);
    const entries = picture.renditions.map((rendition, index) => [String(index), rendition.name]);
    for (const [side, standard] of [["left", "0"], ["right", "1"]]) {
      const kept = byId(`${side}-side`).selectedOptions[0]?.text;
      const same = entries.find(([, name]) => name === kept);
      fill(byId(`${side}-side`), entries, same ? same[0] : standard);
    }
    drawSides();
    byId("region").textContent = region.is_whole
      ? `The whole picture, ${picture.width} × ${picture.height} pixels.`
      : `${region.width} × ${region.height} pixels from column ${region.left}, row ${region.top} of ` +
        `${picture.width} × ${picture.height}; sizes and distortions are of the whole picture.`;
    const coded = picture.renditions.filter((rendition) => rendition.bytes !== null);
    byId("renditions").tBodies[0].replaceChildren(...coded.map((rendition) => element("tr", {},
      element("th", { scope: "row" }, ...dotOfName(rendition.name), rendition.name),
      element("td", { class: "number" }, grouped(rendition.bytes)),
      element("td", { class: "number" }, fixed(rendition.bpp, 3)),
      element("td", { class: "number" }, fixed(rendition.psnr_db, 2)),
      element("td", { class: "number" }, fixed(rendition.luma_psnr_db, 2)),
      element("td", { class: "number" }, fixed(rendition.ms_ssim, 4)),
      element("td", { class: "number" }, fixed(rendition.ssimulacra2, 1)),
      element("td", { class: "number" }, fixed(rendition.butteraugli, 3)),
      element("td", {}, rendition.setting, element("small", {}, rendition.description)))));
    byId("missing-codecs").hidden = !picture.notes.length;
    byId("missing-codecs").textContent = picture.notes.join(" ");
  }

  byId("pictures").hidden = pictures.pictures.length < 2;
  byId("pictures").append(...pictures.pictures.map((one, index) => element("button", {
    type: "button",
    "data-picture": index,
    onclick: () => {
      picture = one;
      drawPicture();
    },
  }, element("img", { src: one.renditions[0].source, alt: "" }), element("span", {}, one.name))));
  for (const side of ["left", "right"]) byId(`${side}-side`).addEventListener("change", drawSides);
  byId("magnification").addEventListener("click", (event) => {
    if (!event.target.dataset.scale) return;
    scale = Number(event.target.dataset.scale);
    drawPicture();
  });

  function follow(event) {
    const { left, width } = stage.getBoundingClientRect();
    moveTo((100 * (event.clientX - left)) / width);
  }
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    split.focus({ preventScroll: true });
    follow(event);
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  split.addEventListener("keydown", (event) => {
    const now = Number(split.getAttribute("aria-valuenow"));
    const step = event.shiftKey ? 10 : 2;
    const next = {
      ArrowLeft: now - step, ArrowDown: now - step, ArrowRight: now + step, ArrowUp: now + step,
      PageDown: now - 10, PageUp: now + 10, Home: 0, End: 100,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    moveTo(next);
  });
  addEventListener("resize", sharpen);
  drawPicture();
}

if (pictures.pictures.length) startEqualSize();
