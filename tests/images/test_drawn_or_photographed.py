import numpy as np
from PIL import Image

from trimix.images import Picture, lossless_bytes_if_drawn
from trimix.images.picture import picture_of_samples


def test_a_drawing_is_known_and_its_lossless_size_told(tmp_path):
    drawing = np.full((64, 80, 3), 255, np.uint8)
    drawing[10:30, 20:60] = (200, 0, 0)
    Image.fromarray(drawing).save(tmp_path / "a.webp", lossless=True, quality=50, method=2)
    assert lossless_bytes_if_drawn(Picture(drawing), 5000) == (tmp_path / "a.webp").stat().st_size


def test_noise_and_ramps_are_no_drawings():
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    for pixels in (noise, ramp, np.zeros((5, 1, 3), np.uint8)):
        assert lossless_bytes_if_drawn(Picture(pixels), 10**6) is None
    assert lossless_bytes_if_drawn(Picture(np.zeros((8, 8, 1), np.uint16)), 100) is None


def test_dear_pixel_art_needs_fewer_equal_pixels():
    pixels = np.random.default_rng(2).integers(0, 256, (60, 60, 1), np.uint8)
    pixels[:, ::5] = pixels[:, 1::5]  # a fifth of the pixels equals its neighbour
    assert lossless_bytes_if_drawn(Picture(pixels), 100) is None
    assert lossless_bytes_if_drawn(Picture(pixels), 60 * 60) is not None


def test_alpha_is_part_of_what_is_lossless():
    samples = np.zeros((40, 40, 4), np.uint8)
    samples[..., 3] = np.random.default_rng(3).integers(0, 256, (40, 40))
    picture = picture_of_samples(samples)
    assert lossless_bytes_if_drawn(picture, 10**6) is None  # alpha differs from pixel to pixel
    samples[..., 3] = 128
    assert lossless_bytes_if_drawn(picture_of_samples(samples), 10**6) < 200
