"""What is embedded comes out as it went in."""

import base64
import gzip
import io

import numpy as np
import pytest
from PIL import Image
from report_examples import compared, photograph

from trimix.errors import UsageError
from trimix.evaluation.pages import embed_lossless, embed_program, estimate_lossless
from trimix.evaluation.report import page as module
from trimix.evaluation.report.page import page_pictures


@pytest.fixture(scope="module")
def example():
    return compared()


def pixels_of(source):
    head, _, data = source.partition(";base64,")
    assert head in ("data:image/png", "data:image/webp")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_embedded_without_loss(channels):
    picture = photograph(50, 70, channels)
    found = pixels_of(embed_lossless(picture.pixels, b"profile"))
    assert np.array_equal(found.reshape(50, 70, -1)[:, :, :channels], picture.pixels)


def test_the_estimate_is_near():
    pixels = photograph().pixels
    assert estimate_lossless(pixels) == pytest.approx(len(embed_lossless(pixels)), rel=0.25)


def test_a_program_comes_out_as_it_went_in():
    text = "const a = '</script>';" * 1000
    embedded = embed_program(text)
    assert len(embedded) < len(text) / 10
    assert gzip.decompress(base64.b64decode(embedded)).decode() == text
    assert embed_program(text) == embedded


def test_small_pictures_are_shown_whole_where_there_is_room(example):
    found = page_pictures([example], 10**6)
    (picture,) = found["pictures"]
    assert picture["region"]["is_whole"]
    assert [one["name"] for one in picture["renditions"]] == ["original", "gllmm-tiny-0", "JPEG <4:2:0>"]
    assert np.array_equal(pixels_of(picture["renditions"][0]["source"]), example.original.pixels)
    assert np.array_equal(pixels_of(picture["renditions"][2]["source"]), example.renditions[1].pixels)


@pytest.mark.parametrize("room", [300_000, 200_000])
def test_the_room_is_kept(example, room):
    found = page_pictures([example, example], room)
    texts = [one["source"] for picture in found["pictures"] for one in picture["renditions"]]
    texts += [one[key] for one in found["bit_maps"]["maps"] for key in ("heat", "preview", "values")]
    assert room / 3 < sum(map(len, texts)) <= room
    assert not found["pictures"][0]["region"]["is_whole"]


def test_too_little_room_is_told(example, monkeypatch):
    monkeypatch.setattr(module, "CROP_WIDTHS", (128,))
    with pytest.raises(UsageError, match="give fewer pictures"):
        page_pictures([example], 30_000)


def test_values_of_the_map_survive(example):
    (found,) = page_pictures([example], 10**6)["bit_maps"]["maps"]
    values = np.frombuffer(base64.b64decode(found["values"]), "<u2").reshape(found["rows"], found["columns"])
    assert np.allclose(values * found["step"], example.bit_map.bits, atol=found["step"])
