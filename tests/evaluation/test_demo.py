"""The demonstration, with a stand-in for the command line; the real one is run by `make demo`."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from trimix.bitstream import Metadata
from trimix.errors import UsageError
from trimix.images import Picture, read_picture, write_picture

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import demo
from demo import Panel, draw_comparison


@pytest.fixture
def commands(monkeypatch):
    """Replaces the command line by one that writes WebP; returns the commands that were run."""
    run = []

    def fake(console, command, source, option, target, *rest):
        run.append((command, *rest))
        if command == "compress":
            Image.open(source).save(target, "WEBP", quality=10)
        else:
            write_picture(read_picture(Path(source)), Path(target))

    monkeypatch.setattr(demo, "run_trimix", fake)
    return run


def demonstrate(**arguments):
    text = io.StringIO()
    demo.demonstrate(Console(file=text, width=200), **arguments)
    return text.getvalue()


def test_the_photograph_needs_no_network():
    pixels = demo.photograph().pixels
    assert pixels.shape == (512, 512, 3)


@pytest.mark.slow
def test_compares_at_equal_size(commands, tmp_path):
    text = demonstrate(picture=None, quality=25.0, output=tmp_path)
    assert [command[0] for command in commands] == ["compress", "decompress"]
    assert commands[0][1:] == ("-q", "25")
    limit = (tmp_path / "astronaut.tmix").stat().st_size
    sizes = {name: int(number.replace(",", "")) for name, number in re.findall(r"│ (\w+).*? ([\d,]{5,}) │", text)}
    assert {"PNG", "trimix", "JPEG", "WebP"} <= set(sizes)
    assert sizes["trimix"] == limit
    assert all(0.8 * limit < sizes[name] <= limit for name in ("JPEG", "WebP"))
    assert (tmp_path / "comparison.png").is_file()
    assert str(tmp_path / "comparison.png") in text


def test_takes_any_picture_and_leaves_its_metadata_out(commands, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "OTHER_CODECS", demo.OTHER_CODECS[:2])
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    write_picture(Picture(pixels, metadata=Metadata(xmp=b"<x:xmpmeta/>")), tmp_path / "own.png")
    text = demonstrate(picture=tmp_path / "own.png", quality=50.0, output=tmp_path / "out")
    assert "too small" in text  # for MS-SSIM
    assert read_picture(tmp_path / "out" / "own.png").metadata.xmp == b""
    assert (tmp_path / "out" / "own.png").is_file()


def test_says_that_pillow_lacks_a_format(commands, tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    text = demonstrate(picture=None, quality=25.0, output=tmp_path)
    assert "AVIF, tune=iq is left out: it needs a Pillow that writes it" in text


def test_says_that_a_codec_cannot_be_that_small(commands, tmp_path, monkeypatch):
    def refuse(codec, picture, target_bytes):
        raise UsageError("it does not fit")

    monkeypatch.setattr(type(demo.OTHER_CODECS[0]), "encode_to_size", refuse)
    assert "JPEG progressive is left out: it does not fit" in demonstrate(picture=None, quality=25.0, output=tmp_path)


def test_a_failing_command_ends_the_demonstration_with_its_exit_code(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *arguments, **options: "/bin/false")
    with pytest.raises(SystemExit) as exit_information:
        demo.main(["--output", str(tmp_path)])
    assert exit_information.value.code == 1


def test_errors_become_messages_and_exit_codes(tmp_path, capfd):
    assert demo.main([str(tmp_path / "missing.png"), "--output", str(tmp_path)]) == 3
    assert "no such file" in capfd.readouterr().err


@pytest.mark.parametrize(("height", "width", "channels"), [(512, 512, 3), (90, 300, 3), (7, 5, 1), (1, 1, 3)])
def test_the_comparison_has_a_column_for_each_panel(height, width, channels):
    pixels = np.full((height, width, channels), 90, np.uint8)
    sheets = [
        draw_comparison([Panel("title", ("one", "two"), pixels)] * count, corner)
        for count, corner in ((1, None), (3, (10**6, -5)))
    ]
    assert sheets[1].width > 2 * sheets[0].width
    assert sheets[0].height == sheets[1].height
    assert (90, 90, 90) in {color for _, color in sheets[0].getcolors(2**24)}


def test_panels_of_different_sizes_are_refused():
    panels = [Panel("a", (), np.zeros((4, side, 3), np.uint8)) for side in (4, 5)]
    with pytest.raises(UsageError, match="one size"):
        draw_comparison(panels)
    with pytest.raises(UsageError, match="found none"):
        draw_comparison([])
