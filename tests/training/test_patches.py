import io
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from trimix.errors import ConfigurationError
from trimix.training.patches import Cut, PatchSampler, scaled, validation_crops
from trimix.training.picture_files import load_pictures

FLIPS = [(False, False), (False, True), (True, False), (True, True)]


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


def test_progress_is_told_picture_by_picture_and_the_total_where_it_is_known(pictures, tmp_path):
    folder, archive = tmp_path / "folder", tmp_path / "pictures.tar"
    folder.mkdir()
    for index, pixels in enumerate(pictures):
        (folder / f"{index}.png").write_bytes(png(pixels))
    (folder / "notes.txt").write_text("no picture")
    with tarfile.open(archive, "w") as tar:
        tar.add(folder / "0.png", "0.png")
    told = []
    load_pictures([folder, folder / "1.png"], 64, on_progress=lambda *counts: told.append(counts))
    assert told == [(done, 5) for done in range(1, 6)]
    told.clear()
    load_pictures([folder, archive], 64, on_progress=lambda *counts: told.append(counts))
    assert told == [(done, None) for done in range(1, 6)]


def test_many_pictures_stay_in_order(tmp_path):
    for index in range(200):
        (tmp_path / f"{index:03}.png").write_bytes(png(np.full((2, 2, 3), index, np.uint8)))
    assert [int(pixels[0, 0, 0]) for pixels in load_pictures([tmp_path], 1)] == list(range(200))
    (tmp_path / "050.png").write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match=r"050\.png"):
        load_pictures([tmp_path], 1)
    told, counted = [], []
    rest = load_pictures([tmp_path], 1, on_progress=lambda *counts: counted.append(counts), on_left_out=told.append)
    assert len(rest) == 199
    assert counted[-1] == (200, 200)
    (note,) = told
    assert "050.png: is not a readable picture" in note


def test_a_batch_is_a_function_of_seed_and_step(pictures):
    one, same, other = (PatchSampler(pictures, seed, 0.5, 0.5) for seed in (1, 1, 2))
    assert torch.equal(one.batch(7, 4, 64), same.batch(7, 4, 64))
    assert not torch.equal(one.batch(7, 4, 64), one.batch(8, 4, 64))
    assert not torch.equal(one.batch(7, 4, 64), other.batch(7, 4, 64))


def test_parts_of_a_batch_are_those_of_the_whole(pictures):
    sampler = PatchSampler(pictures, 1, 0.5, 0.7)
    whole = sampler.batch(3, 12, 64)
    for count in (2, 3):
        parts = [sampler.batch(3, 12, 64, part=range(rank, 12, count)) for rank in range(count)]
        assert all(torch.equal(part, whole[rank::count]) for rank, part in enumerate(parts))
    for index in range(12):
        assert torch.equal(sampler.batch(3, 12, 64, part=range(index, index + 1))[0], whole[index])
    assert not any(torch.equal(whole[0], other) for other in whole[1:])


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
    for patches in sampler.batch(0, 150, 64):
        found.add(windows[(patches.permute(1, 2, 0) * 255).round().byte().numpy().tobytes()])
    assert {0, 6} <= {top for _, top, _ in found}
    assert {0, 16} <= {left for _, _, left in found}
    assert {kind for kind, _, _ in found} == {"", "f", "t", "ft"}


def test_values_are_bytes_over_255(pictures):
    batch = PatchSampler(pictures, 3, 0.5, 1.0).batch(0, 8, 64)
    assert batch.shape == (8, 3, 64, 64)
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 1
    assert torch.equal((batch * 255).round() / 255, batch)


def test_pictures_scales_and_shares_are_distributed_as_stated():
    pictures = [np.zeros((side, side, 3), np.uint8) for side in (100, 300)]
    sampler = PatchSampler(pictures, 5, 0.5, 0.4)
    cuts = [sampler._cut(0, index, 64, 4000) for index in range(4000)]
    # The share of a picture goes with the root of its area: 1 to 3.
    assert sum(cut.picture for cut in cuts) / 4000 == pytest.approx(0.75, abs=0.03)
    large = [cut for cut in cuts if cut.picture == 1]
    scaled = [64 / cut.side for cut in large if cut.side != 64]
    assert len(scaled) / len(large) == pytest.approx(0.4 * 63.5 / 64, abs=0.04)
    # Uniform in [0.5, 1]: 64 / side has quartiles 0.625, 0.75, 0.875.
    assert np.quantile(scaled, [0.25, 0.5, 0.75]) == pytest.approx([0.625, 0.75, 0.875], abs=0.02)
    # A patch is never larger than its picture, and lies in it.
    assert max(cut.side for cut in cuts if cut.picture == 0) == 100
    for cut in cuts:
        side = pictures[cut.picture].shape[0]
        assert 0 <= cut.top <= side - cut.side
        assert 0 <= cut.left <= side - cut.side
    places = [cut.left / (300 - cut.side) for cut in large]
    assert np.quantile(places, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.04)
    for flip in ("upside_down", "mirrored"):
        assert sum(getattr(cut, flip) for cut in cuts) / 4000 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("side", [64, 65, 80, 97, 128])
def test_scaling_is_that_of_pillow(side):
    noise = np.random.default_rng(0).integers(0, 256, (140, 150, 3), dtype=np.uint8)
    sampler = PatchSampler([noise], 1, 0.5, 0.5)
    window = Image.fromarray(noise[5 : 5 + side, 7 : 7 + side])
    expected = np.asarray(window.resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    for upside_down, mirrored in FLIPS:
        patch = sampler.patch(Cut(0, 5, 7, side, upside_down, mirrored), 64).numpy().astype(int)
        patch = patch[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
        assert np.abs(patch - expected).max() <= (side != 64)
        assert np.mean(patch != expected) < 0.02
    as_on_a_device = scaled(torch.from_numpy(noise[5 : 5 + side, 7 : 7 + side]), 64, in_bytes=False)
    assert np.abs(as_on_a_device.numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize("in_bytes", [True, False])
@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_scaling_keeps_flat_pictures(level, in_bytes):
    for side in range(65, 151, 5):
        flat = torch.full((side, side, 3), level, dtype=torch.uint8)
        assert bool((scaled(flat, 64, in_bytes=in_bytes) == level).all())


def test_validation_takes_the_centre(pictures):
    crops = validation_crops(pictures[:1], 64)
    assert torch.equal(
        (crops[0] * 255).round().byte(), torch.from_numpy(pictures[0][3:67, 8:72].copy()).permute(2, 0, 1)
    )


def drawn(count=3, side=70):
    """Pictures that no photograph of the fixture looks like: of one colour each."""
    return [np.full((side, side, 3), (10 * index + 1, 5, 250), np.uint8) for index in range(count)]


def test_photographs_stay_the_same_bit_for_bit_whatever_is_put_among_them(pictures):
    plain, *others = (
        PatchSampler(pictures, 1, 0.5, 0.7, **shares).batch(3, 24, 64)
        for shares in ({}, {"drawn": drawn()}, {"drawn": drawn(), "drawn_share": 0.3, "grey_share": 0.4})
    )
    assert torch.equal(others[0], plain)
    mixed = others[1]
    is_drawn = (mixed[:, 2] == 250 / 255).all(dim=(1, 2))
    is_grey = (mixed == mixed[:, :1]).all(dim=(1, 2, 3))
    assert 0 < int(is_drawn.sum()) < 24
    assert 0 < int(is_grey.sum()) < 24
    assert not bool((is_drawn & is_grey).any())
    kept = ~(is_drawn | is_grey)
    assert torch.equal(mixed[kept], plain[kept])
    # Grey as Pillow has it.
    for patch, before in zip(mixed[is_grey], plain[is_grey], strict=True):
        pixels = (before * 255).byte().permute(1, 2, 0).numpy()
        assert np.array_equal((patch[0] * 255).byte().numpy(), np.array(Image.fromarray(pixels).convert("L")))


def test_shares_of_drawn_and_grey_patches_are_those_asked_for(pictures):
    sampler = PatchSampler(pictures, 5, 0.5, 0.5, drawn=drawn(), drawn_share=0.12, grey_share=0.25)
    batch = torch.cat([sampler.batch(step, 8, 64) for step in range(250)])
    is_drawn = (batch[:, 2] == 250 / 255).all(dim=(1, 2))
    is_grey = (batch == batch[:, :1]).all(dim=(1, 2, 3))
    assert float(is_drawn.float().mean()) == pytest.approx(0.12, abs=0.025)
    assert float(is_grey.float().mean()) == pytest.approx(0.88 * 0.25, abs=0.03)
    # Which ones they are has nothing to do with their place, by which qualities go.
    assert float(is_drawn.view(250, 8).float().mean(dim=0).std()) < 0.05
    # All are used, as often.
    shades, counts = batch[is_drawn][:, 0, 0, 0].unique(return_counts=True)
    assert len(shades) == 3
    assert int(counts.min()) > 0.2 * int(counts.sum())


def test_parts_of_a_mixed_batch_are_those_of_the_whole(pictures):
    sampler = PatchSampler(pictures, 1, 0.5, 0.7, drawn=drawn(), drawn_share=0.5, grey_share=0.5)
    whole = sampler.batch(3, 12, 64)
    parts = [sampler.batch(3, 12, 64, part=range(rank, 12, 3)) for rank in range(3)]
    assert all(torch.equal(part, whole[rank::3]) for rank, part in enumerate(parts))
    # Drawn ones are cut as they are: an edge stays one, and text is not mirrored.
    for index in range(50):
        cut = sampler._drawn_cut(np.random.default_rng(index), 64)
        assert cut.side == 64
        assert not cut.upside_down
        assert not cut.mirrored
        assert 0 <= cut.top <= 6
        assert 0 <= cut.left <= 6
        assert 0 <= cut.picture - len(pictures) < 3
