import json
from pathlib import Path

import pytest
from command_line import MODEL_NAME, Command
from PIL import Image

from trimix.codec import Codec
from trimix.errors import DesynchronizedError
from trimix.frozen import catalogue


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_writes_png_next_to_the_file(trimix: Command, compressed: Path) -> None:
    outcome = trimix("decompress", compressed)
    assert outcome.code == 0
    assert outcome.output == b""
    with Image.open(compressed.with_suffix(".png")) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (70, 50), "RGB")
        assert image.info["icc_profile"] == b"profile" * 50
    assert "-> " in outcome.line
    assert "70x50" in outcome.line
    assert names(compressed.parent) == {"small.tmix", "small.png"}


@pytest.mark.parametrize(
    ("arguments", "written", "expected"),
    [
        (("--format", "jpg"), "small.jpg", "JPEG"),
        (("--format", ".TIFF"), "small.tiff", "TIFF"),
        (("-o", "a.WEBP"), "a.WEBP", "WEBP"),
        (("-o", "a.bin", "--format", "bmp"), "a.bin", "BMP"),
    ],
)
def test_formats(
    trimix: Command,
    compressed: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    written: str,
    expected: str,
) -> None:
    monkeypatch.chdir(compressed.parent)
    assert trimix("decompress", "small.tmix", *arguments).code == 0
    with Image.open(written) as image:
        assert image.format == expected


def test_json(trimix: Command, compressed: Path) -> None:
    outcome = trimix("decompress", compressed, "--json", "--model", MODEL_NAME, "--threads", 1)
    assert (outcome.code, outcome.error) == (0, "")
    record = json.loads(outcome.text)
    assert (record["width"], record["height"], record["channels"], record["quality"]) == (70, 50, 3, 50)
    assert record["bytes"] == compressed.stat().st_size
    assert record["output_bytes"] == compressed.with_suffix(".png").stat().st_size
    assert record["decode_seconds"] > 0


def test_smaller_pictures(trimix: Command, compressed: Path, tmp_path: Path) -> None:
    for arguments, size in (
        (("--scale", "1/2"), (35, 25)),
        (("--scale", "1/16"), (5, 4)),
        (("--thumbnail", 20), (20, 14)),
        (("--thumbnail", 128), (70, 50)),
    ):
        outcome = trimix("decompress", compressed, "-o", tmp_path / "a.png", "--force", *arguments)
        assert outcome.code == 0
        assert f"{size[0]}x{size[1]}, " in outcome.line
        with Image.open(tmp_path / "a.png") as image:
            assert image.size == size
    assert trimix("decompress", compressed, "--scale", "1/3").code == 2
    outcome = trimix("decompress", compressed, "--scale", "1/2", "--thumbnail", 9)
    assert "--scale and --thumbnail exclude each other" in outcome.line


def test_streams(trimix: Command, compressed: Path) -> None:
    data = compressed.read_bytes()
    outcome = trimix("decompress", "-", standard_input=data)
    assert outcome.code == 0
    assert outcome.output.startswith(b"\x89PNG")
    assert trimix("decompress", "-", "--format", "ppm", standard_input=data).output.startswith(b"P6")
    assert trimix("decompress", compressed, "-o", "/dev/null").code == 0


def test_bad_inputs_are_one_line(trimix: Command, tmp_path: Path, compressed: Path, picture: Path) -> None:
    data = compressed.read_bytes()
    contents = {
        "empty.tmix": b"",
        "cut.tmix": data[:-1],
        "cut_header.tmix": data[:10],
        "longer.tmix": data + b"x",
        "damaged.tmix": data[:-3] + bytes(3),
        "version.tmix": data[:4] + b"\x63" + data[5:],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    before = names(tmp_path)
    for name, expected in (
        ("missing.tmix", "missing.tmix: no such file"),
        ("empty.tmix", "is empty"),
        (picture.name, "photo.png: a trimix file must begin with"),
        ("cut.tmix", "cut.tmix: the file must have"),
        ("cut_header.tmix", "cut_header.tmix: "),
        ("longer.tmix", "found 1 more bytes"),
        ("damaged.tmix", "must have CRC-32"),
        ("version.tmix", "install a newer trimix"),
    ):
        outcome = trimix("decompress", f"{tmp_path}/{name}", "-o", tmp_path / "out.png")
        assert outcome.code == 4, outcome
        assert expected in outcome.line
    assert names(tmp_path) == before


def test_desynchronization_names_the_file(trimix: Command, compressed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DesynchronizedError("checksum")

    monkeypatch.setattr(Codec, "decode", fail)
    outcome = trimix("decompress", compressed)
    assert (outcome.code, outcome.line) == (4, f"trimix: error: {compressed}: checksum")
    assert names(compressed.parent) == {"small.tmix"}


def test_missing_model_is_told(
    trimix: Command, compressed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRIMIX_MODELS", str(tmp_path))
    monkeypatch.setattr(catalogue, "_PACKAGED", tmp_path)
    outcome = trimix("decompress", compressed)
    assert outcome.code == 5
    assert "small.tmix: the file needs the model with hash" in outcome.line


def test_refusals(trimix: Command, compressed: Path) -> None:
    existing = compressed.with_suffix(".png")
    existing.write_bytes(b"precious")
    for arguments, code, expected in (
        ((), 6, "(--force)"),
        (("--format", "gif"), 2, "--format must be one of png, webp"),
        (("-o", "a.gif"), 2, "the suffix must be one of"),
        (("-o", "plain"), 2, "found none; change it or give --format"),
        (("-o", compressed, "--force", "--format", "png"), 2, "would overwrite the input"),
        (("-o", "-", "--json"), 2, "cannot share standard output"),
        (("--max-pixels", "3499"), 3, "(--max-pixels)"),
        (("--model", "nothing", "-o", "new.png"), 5, "no model is named"),
    ):
        outcome = trimix("decompress", compressed, *arguments)
        assert outcome.code == code, outcome
        assert expected in outcome.line
    assert existing.read_bytes() == b"precious"
    assert trimix("decompress", compressed, "--force").code == 0
    assert existing.read_bytes().startswith(b"\x89PNG")


def test_a_time_limit_that_is_not_enough(trimix: Command, compressed: Path, picture: Path) -> None:
    before = names(compressed.parent)
    for arguments in (
        ("decompress", compressed),
        ("decompress", compressed, compressed, "-o", compressed.parent),
        ("compress", picture),
        ("compress", picture, "--effort", 3),
        ("view", compressed),
        ("inspect", compressed),
    ):
        outcome = trimix(*arguments, "--max-seconds", "1e-9")
        assert outcome.code == 8, (arguments, outcome.error)
        assert "the time must be at most 1e-09 s" in outcome.error
        assert "(--max-seconds)" in outcome.error
        assert names(compressed.parent) == before
    assert trimix("decompress", compressed, "--max-seconds", 600).code == 0
    for seconds in ("0", "nan", "-1"):
        outcome = trimix("decompress", compressed, "--max-seconds", seconds)
        assert (outcome.code, outcome.line.startswith("trimix: error: --max-seconds must be more than 0")) == (2, True)


def test_an_interrupt_while_it_decodes_leaves_nothing(
    trimix: Command, compressed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = names(compressed.parent)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trimix.latent_codec.check_time", interrupted)
    for arguments in (("decompress", compressed), ("decompress", compressed, "-o", "-")):
        outcome = trimix(*arguments)
        assert (outcome.code, outcome.output, outcome.error) == (130, b"", "")
    assert names(compressed.parent) == before
