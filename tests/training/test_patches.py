import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from trimix.errors import ConfigurationError
from trimix.training.patches import PatchSampler, load_pictures, validation_crops


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def pictures():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (70 + 10 * i, 80, 3), dtype=np.uint8) for i in range(4)]


def test_folders_and_tars_give_the_same_pictures(pictures, tmp_path):
    folder, archive = tmp_path / "folder", tmp_path / "pictures.tar"
    (folder / "inner").mkdir(parents=True)
    with tarfile.open(archive, "w") as tar:
        for index, pixels in enumerate(pictures):
            data = png(pixels)
            (folder / "inner" / f"{index}.png").write_bytes(data)
            information = tarfile.TarInfo(f"{index}.png")
            information.size = len(data)
            tar.addfile(information, io.BytesIO(data))
    for source in (folder, archive):
        loaded = load_pictures([source], 64)
        assert all(np.array_equal(a, b) for a, b in zip(loaded, pictures, strict=True))


def test_bad_sources_are_named(pictures, tmp_path):
    with pytest.raises(ConfigurationError, match="nowhere"):
        load_pictures([tmp_path / "nowhere"], 64)
    with pytest.raises(ConfigurationError, match="no picture"):
        load_pictures([tmp_path], 64)
    (tmp_path / "small.png").write_bytes(png(pictures[0][:50]))
    with pytest.raises(ConfigurationError, match=r"small\.png.*64.*80x50"):
        load_pictures([tmp_path], 64)
    (tmp_path / "small.png").write_bytes(b"no picture at all")
    with pytest.raises(ConfigurationError, match=r"small\.png.*readable"):
        load_pictures([tmp_path], 64)


def test_unreadable_sources_are_named(pictures, tmp_path):
    (tmp_path / "folder.png").mkdir()  # a folder is no picture, whatever its name
    (tmp_path / "one.png").write_bytes(png(pictures[0]))
    assert len(load_pictures([tmp_path], 64)) == 1
    link = tmp_path / "link.png"
    link.symlink_to("gone.png")
    with pytest.raises(ConfigurationError, match=r"link\.png: cannot be read: No such file"):
        load_pictures([tmp_path], 64)
    link.unlink()
    for mode in ("", "gz", "xz"):
        archive = tmp_path / f"pictures.tar.{mode}"
        with tarfile.open(archive, f"w:{mode}") as tar:
            tar.add(tmp_path / "one.png", "one.png")
        archive.write_bytes(archive.read_bytes()[:6000])
        with pytest.raises(ConfigurationError, match=r"pictures\.tar.*damaged") as caught:
            load_pictures([archive], 64)
        assert "\n" not in str(caught.value)


def test_a_batch_is_a_function_of_seed_and_step(pictures):
    one, same, other = (PatchSampler(pictures, seed, 0.5, 0.5) for seed in (1, 1, 2))
    assert torch.equal(one.batch(7, 4, 64), same.batch(7, 4, 64))
    assert not torch.equal(one.batch(7, 4, 64), one.batch(8, 4, 64))
    assert not torch.equal(one.batch(7, 4, 64), other.batch(7, 4, 64))


def test_unscaled_patches_are_cut_from_the_pictures_and_reach_the_borders(pictures):
    sampler = PatchSampler(pictures[:1], 1, 1.0, 0.0)
    windows = {}
    for flipped, source in (("", pictures[0]), ("f", pictures[0][:, ::-1])):
        for turned, oriented in (("", source), ("t", source[::-1])):
            for top in range(7):
                for left in range(17):
                    patch = np.ascontiguousarray(oriented[top : top + 64, left : left + 64])
                    windows[patch.tobytes()] = (flipped + turned, top, left)
    found = set()
    for step in range(150):
        patch = (sampler.batch(step, 1, 64)[0].permute(1, 2, 0) * 255).round().byte().numpy()
        found.add(windows[patch.tobytes()])
    assert {0, 6} <= {top for _, top, _ in found}
    assert {0, 16} <= {left for _, _, left in found}
    assert {kind for kind, _, _ in found} == {"", "f", "t", "ft"}


def test_values_are_in_zero_to_one(pictures):
    batch = PatchSampler(pictures, 3, 0.5, 1.0).batch(0, 8, 64)
    assert batch.shape == (8, 3, 64, 64)
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 1


def test_validation_takes_the_centre(pictures):
    crops = validation_crops(pictures[:1], 64)
    assert torch.equal(
        (crops[0] * 255).round().byte(), torch.from_numpy(pictures[0][3:67, 8:72].copy()).permute(2, 0, 1)
    )
