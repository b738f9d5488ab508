import importlib.util
import io
import os
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import trimix
from tiny_models import tiny_frozen
from trimix.bitstream import read_header
from trimix.codec import Codec
from trimix.errors import PictureError, PictureTooLargeError, UnknownModelError, UsageError
from trimix.frozen.catalogue import read_entry
from trimix.frozen.storage import save_frozen
from trimix.images import Picture, Strip, read_picture, write_picture


@pytest.fixture(scope="module")
def api():
    """The two functions without the tests' run-time type checker, which would refuse before they do."""
    path = importlib.util.find_spec("trimix.api").origin
    specification = importlib.util.spec_from_file_location("unchecked_api", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_turned_photograph_comes_back_upright_with_its_metadata(model, tmp_path):
    image = Image.fromarray(np.zeros((10, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "maker"
    image.save(tmp_path / "turned.jpg", exif=exif, icc_profile=b"profile")
    decoded = trimix.decompress(trimix.compress(Image.open(tmp_path / "turned.jpg"), model=model))
    assert decoded.size == (10, 30)
    assert decoded.info["icc_profile"] == b"profile"
    assert decoded.getexif()[0x010F] == "maker"
    assert decoded.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3)])
def test_arrays_are_taken(model, shape):
    decoded = trimix.decompress(trimix.compress(np.full(shape, 90, np.uint8), 80, model))
    assert decoded.size == (9, 8)
    assert decoded.mode == ("RGB" if shape[-1] == 3 else "L")


@pytest.mark.parametrize("array", [np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)])
def test_other_arrays_are_refused(model, array):
    with pytest.raises(trimix.TrimixError, match="must"):
        trimix.compress(array, model=model)


def test_a_replaced_model_is_loaded_again(model):
    pixels = np.random.default_rng(1).integers(0, 256, (8, 9, 3), np.uint8)
    first = trimix.compress(pixels, 80, model)
    state = model.stat()
    save_frozen(tiny_frozen(seed=1), model)
    os.utime(model, ns=(state.st_atime_ns, state.st_mtime_ns + 1))  # within one tick of a coarse clock
    second = trimix.compress(pixels, 80, model)
    hashes = [read_header(data).weights_hash for data in (first, second)]
    assert hashes[1] == read_entry(model).weights_hash != hashes[0]
    assert trimix.decompress(second).size == (9, 8)
    with pytest.raises(UnknownModelError):
        trimix.decompress(first)


def test_pictures_are_taken_from_anything(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    data = path.read_bytes()
    first = trimix.compress(pixels, 60, model)
    with Image.open(path) as image, path.open("rb") as file:
        sources = (path, str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), file, image)
        assert all(trimix.compress(source, 60, model) == first for source in sources)
    assert trimix.compress(read_picture(path), 60, model) == first
    compressed = tmp_path / "picture.tmix"
    compressed.write_bytes(first)
    with compressed.open("rb") as file:
        for source in (compressed, str(compressed), first, memoryview(first), io.BytesIO(first), file):
            assert (np.asarray(trimix.decompress(source))[:, :, 3] == pixels[:, :, 3]).all()
    with pytest.raises(UsageError, match=r"none\.tmix: the file cannot be read"):
        trimix.decompress(tmp_path / "none.tmix")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_comes_back_is_of_the_kind_that_was_given(model, channels, kind):
    generator = np.random.default_rng(0)
    samples = generator.integers(0, np.iinfo(kind).max + 1, (20, 30, channels), kind)
    data = trimix.compress(samples, 60, model)
    header = read_header(data)
    assert (header.channels, header.bit_depth) == (channels, 8 * samples.itemsize)
    assert data[4] == (1 if kind is np.uint8 and channels in (1, 3) else 2)
    picture = trimix.decompress_to_picture(data)
    assert (picture.samples.shape, picture.samples.dtype) == (samples.shape, samples.dtype)
    if channels in (2, 4):
        assert (picture.samples[:, :, -1] == samples[:, :, -1]).all()
    if kind is np.uint16 and channels > 1:
        with pytest.warns(trimix.PictureWarning, match="reduced to 8"):
            image = trimix.decompress(data)
    else:
        image = trimix.decompress(data)
    assert len(image.getbands()) == channels
    assert image.mode == ("I;16" if kind is np.uint16 and channels == 1 else ("L", "LA", "RGB", "RGBA")[channels - 1])


@pytest.mark.parametrize("effort", [1, 2, 4])
def test_16_bits_and_8_bits_of_the_same_picture_make_nearly_the_same_file(model, effort):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    plain, deep = (
        trimix.compress(samples, 60, model, effort=effort) for samples in (pixels, pixels.astype(np.uint16) * 257)
    )
    assert len(deep) == pytest.approx(len(plain), rel=0.01, abs=4)


def test_equal_colours_cost_what_grey_costs_and_come_back_equal(model):
    grey = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    as_rgb = trimix.compress(np.stack([grey] * 3, axis=2), 60, model)
    assert len(as_rgb) == len(trimix.compress(grey, 60, model))
    decoded = np.asarray(trimix.decompress(as_rgb))
    assert decoded.shape == (40, 50, 3)
    assert (decoded == decoded[:, :, :1]).all()


def test_opaque_alpha_costs_nothing_and_hidden_colours_change_nothing(model):
    generator = np.random.default_rng(0)
    samples = generator.integers(0, 256, (40, 50, 4), dtype=np.uint8)
    samples[:, :, 3] = 255
    assert trimix.compress(samples, 60, model) == trimix.compress(samples[:, :, :3], 60, model)
    samples[5:30, 5:30, 3] = 0
    other = samples.copy()
    other[5:30, 5:30, :3] = generator.integers(0, 256, (25, 25, 3))
    assert trimix.compress(samples, 60, model) == trimix.compress(other, 60, model)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_scale_reduces_pixels_and_alpha_alike(model, channels, kind):
    samples = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (37, 70, channels), kind)
    data = trimix.compress(samples, 60, model)
    for reduction in (2, 4, 8, 16):
        small = trimix.decompress_to_picture(data, scale=1 / reduction).samples
        assert small.shape == (-(-37 // reduction), -(-70 // reduction), channels)
        assert small.dtype == kind
        if channels in (2, 4):
            squares = samples[: 37 // reduction * reduction, : 70 // reduction * reduction, -1].astype(float)
            means = squares.reshape(37 // reduction, reduction, 70 // reduction, reduction).mean((1, 3))
            assert np.abs(small[: 37 // reduction, : 70 // reduction, -1] - means).max() <= 0.5


@pytest.mark.parametrize("scale", [0, 2, 1 / 3, float("nan"), "1/2"])
def test_other_scales_are_refused(api, model, scale):
    with pytest.raises(UsageError, match="scale must be"):
        api.decompress(trimix.compress(np.zeros((8, 9), np.uint8), 60, model), scale=scale)


def test_a_picture_made_by_hand_costs_what_its_samples_cost(model):
    samples = np.random.default_rng(0).integers(0, 256, (40, 50, 1), np.uint8).repeat(3, axis=2)
    alpha = np.full((40, 50), 255, np.uint8)
    assert trimix.compress(Picture(samples, alpha), 60, model) == trimix.compress(samples, 60, model)


def test_nothing_is_lost_in_silence(model, tmp_path):
    image = Image.fromarray(np.zeros((8, 8, 4), np.uint8) + 60)
    with pytest.warns(trimix.PictureWarning, match="CMYK without a profile"):
        trimix.compress(image.convert("CMYK"), model=model)
    flat = trimix.compress(image, model=model, background=(255, 255, 255))
    assert read_header(flat).channels == 3
    frames = tmp_path / "a.gif"
    image.convert("P").save(frames, save_all=True, append_images=[Image.new("P", (8, 8), 9)])
    for source in (frames, Image.open(frames)):
        with pytest.raises(PictureError, match="2 frames or pages"):
            trimix.compress(source, model=model)
        assert trimix.decompress(trimix.compress(source, model=model, frame=1)).size == (8, 8)
    source.close()


def test_metadata_travel_and_are_stripped(model, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif.get_ifd(0x8825)[1] = "N"
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif, icc_profile=b"profile", dpi=(300, 300), comment=b"hello")
    original = read_picture(path).metadata
    decoded = trimix.decompress_to_picture(trimix.compress(path, model=model))
    assert decoded.metadata == original
    write_picture(decoded, tmp_path / "b.jpg")
    assert read_picture(tmp_path / "b.jpg").metadata == original
    without = [trimix.decompress_to_picture(trimix.compress(path, model=model, strip=one)).metadata for one in Strip]
    assert [bool(one.exif) for one in without] == [True, True, False, False]
    assert [b"\x88\x25" in one.exif or b"\x25\x88" in one.exif for one in without] == [True, False, False, False]
    assert [bool(one.icc_profile) for one in without] == [True, True, True, False]


def test_very_long_pictures_are_refused(model):
    codec = Codec.load(model)
    with pytest.raises(PictureTooLargeError, match="65536"):
        codec.encode(Picture(np.zeros((1, 65537, 3), np.uint8)))


def test_efforts_and_targets(model):
    pixels = np.random.default_rng(0).integers(0, 256, (150, 120, 3), dtype=np.uint8)
    sizes = [len(trimix.compress(pixels, quality, model)) for quality in (1, 100)]
    wanted = (sizes[0] * sizes[1]) ** 0.5
    data = trimix.compress(pixels, model=model, target_bytes=wanted)
    assert len(data) == pytest.approx(wanted, rel=0.02)
    data = trimix.compress(pixels, model=model, target_bits_per_pixel=8 * wanted / pixels[:, :, 0].size)
    assert len(data) == pytest.approx(wanted, rel=0.02)
    searched = trimix.compress(pixels, 70, model, effort=3)
    assert searched != trimix.compress(pixels, 70, model)
    assert searched == trimix.compress(pixels, model=model, effort=3)
    with pytest.raises(UsageError, match="out of reach"):
        trimix.compress(pixels, model=model, target_psnr_db=90)
    with pytest.raises(UsageError, match="exclude each other"):
        trimix.compress(pixels, 50, model, target_psnr_db=30)
    with pytest.raises(UsageError, match="one target"):
        trimix.compress(pixels, model=model, target_psnr_db=30, target_bytes=500)


NUMBERS = ("quality", "target_bits_per_pixel", "target_bytes", "target_psnr_db", "time_limit_seconds")


@pytest.mark.parametrize(
    "arguments",
    [
        *({name: value} for name in NUMBERS for value in ("50", True, float("nan"), [50], np.zeros(2))),
        *({"effort": value} for value in ("3", 3.5, 2.5, np.float64(3), True, None, 0, 10)),
        {"time_limit_seconds": -1},
        *({"device": value} for value in ("tpu", "mps", None, 5.5, "cuda:99")),
    ],
    ids=repr,
)
def test_arguments_of_other_kinds_are_refused_by_name(api, model, arguments):
    with pytest.raises(trimix.TrimixError, match=f"{next(iter(arguments))}.*found") as caught:
        api.compress(np.zeros((8, 9, 3), np.uint8), **({"model": model} | arguments))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("image", [None, [[1]], 5, SimpleNamespace(dtype=np.uint8, ndim=2)])
def test_what_is_no_picture_is_refused(api, model, image):
    with pytest.raises(PictureError, match=f"an image must be .*, found {type(image).__name__}"):
        api.compress(image, model=model)


@pytest.mark.parametrize("number", [np.int64, np.uint16, np.float32, np.float64])
def test_numbers_of_numpy_are_numbers(api, model, number):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    plain = api.compress(pixels, 50, model, effort=3, time_limit_seconds=60)
    effort = np.int64(3)
    assert api.compress(pixels, number(50), model, effort=effort, time_limit_seconds=number(60)) == plain
    aimed = [api.compress(pixels, model=model, target_bytes=kind(len(plain))) for kind in (int, number)]
    assert aimed[0] == aimed[1]
    assert api.decompress(plain, maximum_pixels=1200).size == (30, 40)
    assert all(api.decompress(kind(plain)).size == (30, 40) for kind in (bytearray, memoryview))


@pytest.mark.parametrize("data", [None, 5, [1, 2]])
def test_what_is_no_file_is_refused(api, data):
    with pytest.raises(UsageError, match=f"data must be the path, the bytes .*, found {type(data).__name__}"):
        api.decompress(data)


@pytest.mark.parametrize("arguments", [{"device": "tpu"}, {"maximum_pixels": "5"}, {"maximum_pixels": None}])
def test_arguments_of_decompress_are_refused_by_name(api, model, arguments):
    data = trimix.compress(np.zeros((8, 9, 3), np.uint8), 80, model)
    with pytest.raises(UsageError, match=f"{next(iter(arguments))} must be .*, found"):
        api.decompress(data, **arguments)
