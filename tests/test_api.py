import importlib.util
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
from trimix.images import Picture


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    path = tmp_path / "gllmm-tiny-0.safetensors"
    save_frozen(tiny_frozen(), path)
    return path


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


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 5), np.uint8), np.zeros((4, 4)), np.zeros((0, 4), np.uint8)]
)
def test_other_arrays_are_refused(model, array):
    with pytest.raises(trimix.TrimixError, match="must"):
        trimix.compress(array, model=model)


def test_two_codecs_of_one_model_do_not_share_modules():
    model = tiny_frozen()
    one, other = Codec(model), Codec(model)
    assert one.model.transforms is not other.model.transforms


def test_a_replaced_model_is_loaded_again(model):
    pixels = np.full((8, 9, 3), 90, np.uint8)
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
    searched = trimix.compress(pixels, 50, model, effort=3)
    assert searched != trimix.compress(pixels, 50, model)
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
