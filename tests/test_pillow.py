"""The plugin for Pillow, by Pillow's own conventions."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import ExifTags, Image, UnidentifiedImageError

import trimix.pillow

SAMPLES = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)


def saved(image: Image.Image, model, **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, "TMIX", model=model, **options)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_is_saved_and_opened(model, mode):
    deep = Image.fromarray(SAMPLES[:, :, 0].astype(np.uint16) * 257)
    colours = Image.fromarray(SAMPLES if "A" in mode else SAMPLES[:, :, :3])
    image = deep if mode == "I;16" else colours.convert(mode)
    with Image.open(saved(image, model, quality=70, effort=1)) as opened:
        assert isinstance(opened, trimix.pillow.TrimixImageFile)
        assert (opened.format, opened.size) == ("TMIX", (30, 20))
        assert opened.mode == {"1": "L", "P": "RGB"}.get(mode, mode)
        assert opened.info["quality"] == 70
        opened.load()
        if "A" in mode:
            assert (np.asarray(opened)[:, :, -1] == SAMPLES[:, :, 3]).all()
        assert np.asarray(opened).shape[:2] == (20, 30)


def test_paths_extensions_and_copies(model, tmp_path):
    path = tmp_path / "picture.tmix"
    Image.fromarray(SAMPLES).save(path, model=model)
    assert path.read_bytes() == trimix.compress(SAMPLES, model=model)
    with Image.open(path) as image:
        assert image.get_format_mimetype() == "image/x-trimix"
        copy = image.copy()
        image.thumbnail((10, 10))
    assert copy.size == (30, 20)
    assert (np.asarray(copy) == np.asarray(trimix.decompress(path))).all()
    copy.crop((0, 0, 8, 8)).save(tmp_path / "again.tmix", model=model)


def test_a_cropped_image_is_saved_as_it_looks(model):
    image = Image.fromarray(SAMPLES).rotate(90, expand=True)
    assert Image.open(saved(image, model)).size == (20, 30)


def test_metadata_as_other_plugins_treat_them(model):
    image = Image.fromarray(SAMPLES)
    image.info.update(icc_profile=b"profile", xmp=b"<x/>", exif=b"Exif\0\0II*\0")
    plain = Image.open(saved(image, model)).info
    assert (plain["icc_profile"], plain["xmp"], plain.get("exif")) == (b"profile", b"<x/>", None)
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    for given in (exif, exif.tobytes()):
        opened = Image.open(saved(image, model, exif=given, icc_profile=None, xmp=b"<y/>", dpi=(9, 9)))
        assert opened.getexif()[ExifTags.Base.Make] == "Maker"
        assert opened.info.get("icc_profile") is None
        assert opened.info["xmp"] == b"<y/>"


def test_damage_shows_with_pillows_errors(model):
    data = saved(Image.fromarray(SAMPLES), model).getvalue()
    cut = Image.open(io.BytesIO(data[:-9]))
    assert cut.size == (30, 20)
    with pytest.raises(OSError, match="it was cut short"):
        cut.load()
    with pytest.raises(OSError, match="install a newer trimix"):
        Image.open(io.BytesIO(data[:4] + b"\xff" + data[5:]))
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(b"?" + data))
    with pytest.raises(OSError, match="cannot write mode CMYK as TMIX"):
        saved(Image.new("CMYK", (3, 3)), model)
    with pytest.raises(OSError, match="quality must be"):
        saved(Image.new("RGB", (3, 3)), model, quality=500)


def test_opening_needs_no_torch(model, tmp_path):
    path = tmp_path / "picture.tmix"
    Image.fromarray(SAMPLES).save(path, model=model)
    code = (
        "import sys, trimix.pillow; from PIL import Image; image = Image.open(sys.argv[1]); "
        "assert image.mode == 'RGBA' and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
