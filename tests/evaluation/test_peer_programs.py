"""BPG, HM and VTM, with stand-ins that take the command lines of the real programs and refuse any other."""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trimix.bitstream import Metadata
from trimix.errors import PictureError, TrimixError, UsageError
from trimix.evaluation.metrics import psnr_db
from trimix.evaluation.peers import ALL_PEERS, BPG, BPG_420, HM, VTM, find_peers
from trimix.evaluation.peers.reference_software import to_rgb, to_ycbcr
from trimix.images import Picture

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins start by their first line")

# Each keeps the upper bits of every sample, fewer at higher QP, and deflates them.
BPGENC = """
import sys, zlib
from PIL import Image
if sys.argv[1:] == ["-h"]:
    print("BPG Image Encoder version 0.9.8\\nusage: bpgenc [options] infile.[jpg|png]")
    sys.exit(1)
options = dict(zip(sys.argv[1:-1:2], sys.argv[2:-1:2]))
target, qp, chroma = options.pop("-o"), int(options.pop("-q")), options.pop("-f")
assert chroma in ("444", "420") and options == {"-c": "ycbcr", "-b": "8", "-e": "x265"}, sys.argv
image = Image.open(sys.argv[-1])
assert image.format == "PNG" and not image.info, image.info
step = 1 + qp // 4
samples = bytes(sample // step for sample in image.tobytes())
head = f"{image.mode} {image.width} {image.height} {step} {chroma}".encode().ljust(40)
open(target, "wb").write(head + zlib.compress(samples))
"""
BPGDEC = """
import sys, zlib
from PIL import Image
option, target, source = sys.argv[1:]
assert option == "-o"
data = open(source, "rb").read()
if len(data) < 41:
    print("Could not decode image", file=sys.stderr)
    sys.exit(1)
mode, *numbers = data[:40].decode().split()
width, height, step, _ = map(int, numbers)
samples = bytes(min(255, sample * step + step // 2) for sample in zlib.decompress(data[40:]))
Image.frombytes(mode, (width, height), samples).save(target, "PNG")
"""
ENCODER = """
import sys, zlib
if sys.argv[1:] == ["--help"]:
    print("\\n{banner}[Linux][GCC 12.2.0][64 bit]\\n")
    sys.exit(1)
short = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
options = dict(zip(short[::2], short[1::2]))
long = dict(argument.split("=") for argument in sys.argv[1:] if argument.startswith("--"))
chroma = long.pop("--InputChromaFormat")
assert long == {"--InputBitDepth": "8", "--ConformanceWindowMode": "1"}, long
assert (options.pop("-f"), options.pop("-fr")) == ("1", "1")
assert "IntraPeriod" in open(options.pop("-c")).read()
step = 1 + int(options.pop("-q")) // 4
samples = open(options.pop("-i"), "rb").read()
width, height = int(options.pop("-wdt")), int(options.pop("-hgt"))
assert len(samples) == width * height * {"444": 3, "400": 1}[chroma]
samples = bytes(sample // step for sample in samples)
open(options.pop("-o"), "wb").write(samples)
open("left-over.log", "w").write("in the current folder")
open(options.pop("-b"), "wb").write(bytes([step]) + zlib.compress(samples))
assert not options, options
"""
DECODER = """
import sys, zlib
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert options.pop("-d") == "8"
data = open(options.pop("-b"), "rb").read()
samples = bytes(min(255, sample * data[0] + data[0] // 2) for sample in zlib.decompress(data[1:]))
open(options.pop("-o"), "wb").write(samples)
assert not options, options
"""
BANNERS = {
    "TAppEncoderStatic": "HM software: Encoder Version [16.20] (including RExt)",
    "EncoderApp": "VTM software: Encoder Version 23.0 ",
}


def install(folder, name, program):
    path = folder / name
    # Without its search for packages, Python starts in a fraction of the time.
    options = "" if "PIL" in program else " -SE"
    path.write_text(f"#!{sys.executable}{options}\n{program}", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The only folder on the PATH, and one for temporary files; no configuration is named."""
    programs, temporary = tmp_path / "source" / "bin", tmp_path / "temporary"
    programs.mkdir(parents=True)
    temporary.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    for variable in (HM.configuration_variable, VTM.configuration_variable):
        monkeypatch.delenv(variable, raising=False)
    yield programs
    assert list(temporary.iterdir()) == []


@pytest.fixture
def installed(folder):
    """Stand-ins of all programs and their configurations, as they lie after a build."""
    install(folder, "bpgenc", BPGENC)
    install(folder, "bpgdec", BPGDEC)
    for name, banner in BANNERS.items():
        install(folder, name, ENCODER.replace("{banner}", banner))
    install(folder, "TAppDecoderStatic", DECODER)
    install(folder, "DecoderApp", DECODER)
    configurations = folder.parent / "cfg"
    configurations.mkdir()
    for peer in (HM, VTM):
        (configurations / peer.configuration_name).write_text("IntraPeriod : 1\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def picture():
    random = np.random.default_rng(3)
    rows, columns = np.mgrid[0:19, 0:35]
    noise = random.normal(0, 3, (19, 35, 3))
    pixels = np.stack([40 + 6 * columns, 60 + 8 * rows, 128 + rows - columns], axis=2) + noise
    return Picture(pixels.clip(0, 255).astype(np.uint8), metadata=Metadata(xmp=b"<x:xmpmeta/>"))


programs = pytest.mark.parametrize("codec", [BPG, BPG_420, HM, VTM], ids=lambda codec: codec.key)


@programs
@pytest.mark.parametrize("channels", [3, 1])
def test_lower_qp_gives_larger_files_and_better_pictures(codec, channels, picture, installed):
    picture = Picture(picture.pixels[:, :, :channels])
    files = [codec.encode(picture, quality) for quality in (51, 20, 0)]
    decoded = [codec.decode(file, channels) for file in files]
    assert {one.pixels.shape for one in decoded} == {picture.pixels.shape}
    distortions_db = [psnr_db(picture.pixels, one.pixels) for one in decoded]
    assert distortions_db == sorted(distortions_db)
    assert distortions_db[-1] > 48
    assert [len(file) for file in files] == sorted({len(file) for file in files})


@pytest.mark.parametrize("codec", [BPG, VTM], ids=lambda codec: codec.key)
def test_the_file_of_a_target_size_is_the_best_that_fits(codec, picture, installed):
    # The stand-in changes its step at every fourth QP.
    target_bytes = len(codec.encode(picture, 27))
    found = codec.encode_to_size(picture, target_bytes)
    assert found.quality == 24
    assert len(found.data) == target_bytes < len(codec.encode(picture, 23))


def test_versions_and_configurations_are_stated(installed):
    assert BPG.version == "bpgenc 0.9.8"
    assert HM.version.startswith("HM 16.20, encoder_intra_main_rext.cfg with SHA-256 ")
    before = VTM.version
    assert before.startswith("VTM 23.0, encoder_intra_vtm.cfg with SHA-256 ")
    (installed.parent / "cfg" / VTM.configuration_name).write_text("IntraPeriod : 2\n", encoding="utf-8")
    assert VTM.version != before


def test_files_of_reference_software_are_four_bytes_longer_than_the_bitstream(picture, installed):
    data = VTM.encode(picture, 8)
    assert data[:4] == bytes([0, 35, 0, 19])
    assert data[4] == 3  # the stand-in's first byte


@programs
def test_missing_programs_are_named_with_a_remedy(codec, picture, folder):
    assert not codec.available
    with pytest.raises(UsageError, match=r"on the PATH, found no \w+.* and no \w+.*; build "):
        codec.encode(picture, 30)
    with pytest.raises(UsageError, match=f"^{codec.name} needs"):
        find_peers([codec.key])


def test_a_missing_decoder_is_enough_to_refuse(installed, picture):
    (installed / "bpgdec").unlink()
    with pytest.raises(UsageError, match="found no bpgdec; build"):
        BPG.encode(picture, 30)


def test_other_names_of_the_programs_are_found(installed, picture):
    for name in ("EncoderApp", "DecoderApp"):
        (installed / name).rename(installed / f"{name}Static")
    assert VTM.decode(VTM.encode(picture, 30), 3).pixels.shape == picture.pixels.shape


def test_a_missing_configuration_is_named_with_a_remedy(installed, picture):
    (installed.parent / "cfg" / VTM.configuration_name).unlink()
    with pytest.raises(UsageError, match=r"encoder_intra_vtm\.cfg, found none .* TRIMIX_VTM_CONFIG"):
        VTM.encode(picture, 30)
    assert HM.available


def test_the_environment_names_another_configuration(installed, picture, tmp_path, monkeypatch):
    other = tmp_path / "mine.cfg"
    monkeypatch.setenv("TRIMIX_VTM_CONFIG", str(other))
    with pytest.raises(UsageError, match=r"where TRIMIX_VTM_CONFIG says, found no file .*mine\.cfg"):
        VTM.encode(picture, 30)
    other.write_text("IntraPeriod : 1\n", encoding="utf-8")
    assert "mine.cfg" in VTM.version
    assert VTM.available


def test_the_configuration_is_found_from_a_link_on_the_path(installed, tmp_path, monkeypatch):
    links = tmp_path / "links"
    links.mkdir()
    for name in ("EncoderApp", "DecoderApp"):
        (links / name).symlink_to(installed / name)
    monkeypatch.setenv("PATH", str(links))
    assert VTM.configuration == (installed.parent / "cfg" / VTM.configuration_name).resolve()


@programs
def test_a_program_that_fails_is_one_error_with_its_last_words(codec, installed, picture):
    failing = "import sys; print('Usage', flush=True); print('  bad   luck ', file=sys.stderr); sys.exit(7)"
    data = codec.encode(picture, 30)
    for path in installed.iterdir():
        install(installed, path.name, failing)
    for attempt in (lambda: codec.encode(picture, 30), lambda: codec.decode(data, 3)):
        with pytest.raises(TrimixError) as caught:
            attempt()
        assert "must succeed, found exit code 7 and the last line 'bad luck'; check" in str(caught.value)
        assert "\n" not in str(caught.value)


@programs
def test_a_program_that_hangs_is_ended(codec, installed, picture):
    for path in installed.iterdir():
        install(installed, path.name, "import time; time.sleep(60)")
    with pytest.raises(TrimixError, match=r"must end within 0\.2 s, found it still at work; use smaller"):
        replace(codec, timeout_seconds=0.2).encode(picture, 30)


@programs
def test_a_program_that_writes_nothing_is_an_error(codec, installed, picture):
    data = codec.encode(picture, 30)
    for path in installed.iterdir():
        install(installed, path.name, "pass")
    for attempt in (lambda: codec.encode(picture, 30), lambda: codec.decode(data, 3)):
        with pytest.raises(TrimixError, match="must write its output, found none"):
            attempt()


@programs
def test_a_file_that_is_no_program_is_an_error(codec, installed, picture):
    for path in installed.iterdir():
        path.write_bytes(b"\x7fELF but not really")
    with pytest.raises(TrimixError, match="must be a program of this machine"):
        codec.encode(picture, 30)
    assert "of unknown version" in codec.version


def test_a_decoder_that_writes_another_size_is_an_error(installed, picture):
    data = VTM.encode(picture, 30)
    with pytest.raises(TrimixError, match=r"DecoderApp must write \d+ samples, found 1995; check"):
        VTM.decode(bytes([0, 36]) + data[2:], 3)
    with pytest.raises(PictureError, match="more than 4 bytes, found 3"):
        VTM.decode(data[:3], 3)


def test_grey_pictures_are_read_from_decoders_that_write_empty_chroma(installed, picture):
    grey = Picture(picture.pixels[:, :, :1])
    data = VTM.encode(grey, 0)
    with_chroma = DECODER.replace(".write(samples)", ".write(samples + bytes(99))")
    install(installed, "DecoderApp", with_chroma)
    assert np.array_equal(VTM.decode(data, 1).pixels, grey.pixels)


def test_colours_survive_the_way_to_ycbcr_and_back_to_two_steps():
    pixels = np.random.default_rng(4).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    corners = np.array([[[r, g, b] for r in (0, 255) for g in (0, 255)] for b in (0, 255)], np.uint8)
    for some in (pixels, corners):
        difference = to_rgb(to_ycbcr(some)).astype(int) - some
        assert abs(difference).max() <= 2
    assert psnr_db(pixels, to_rgb(to_ycbcr(pixels))) > 50


def test_ycbcr_is_bt_709_in_full_range():
    # Kr = 0.2126, Kb = 0.0722 (ITU-R BT.709, item 3.2), scaled to 0 .. 255 with chroma around 128.
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 0, 255], [0, 255, 0]]], np.uint8)
    expected = [[255, 128, 128], [0, 128, 128], [54, 99, 255], [18, 255, 116], [182, 30, 12]]
    assert to_ycbcr(colours).tolist() == [expected]


def test_programs_are_known_but_absent_ones_are_not_available(folder: Path):
    assert {"bpg", "bpg-420", "hm", "vtm"} <= set(ALL_PEERS)
    assert not any(ALL_PEERS[key].available for key in ("bpg", "bpg-420", "hm", "vtm"))
