"""Named sets are found by any of their names, only whole, and what is missing is told."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from trimix.errors import UsageError
from trimix.evaluation.data_sets import (
    DATA_SETS,
    DATA_VARIABLE,
    data_roots,
    find_data_set,
    find_pictures,
    look_for,
    picture_files,
)

KODAK = DATA_SETS[0]


def write_pictures(folder: Path, names: Iterable[str], size: tuple[int, int] = (768, 512)) -> Path:
    folder.mkdir(parents=True)
    image = Image.new("L", size)
    for name in names:
        image.save(folder / name, compress_level=1)
    return folder


def test_every_set_of_the_papers_is_there_and_says_where_it_is_published():
    keys = {"kodak", "tecnick-100", "tecnick-40", "clic-2024", "pixel-style", "sci1k", "cct-cgi", "bracs"}
    assert {one.key for one in DATA_SETS} == keys
    assert all(one.published and one.sizes and one.count for one in DATA_SETS)
    counts = {one.key: one.count for one in DATA_SETS}
    assert counts["kodak"] == 24
    assert counts["pixel-style"] == counts["sci1k"] == counts["bracs"] == 100
    assert counts["cct-cgi"] == 24


def test_no_name_stands_for_two_sets():
    for one in DATA_SETS:
        for name in (one.key, *one.aliases):
            assert [other for other in DATA_SETS if other.is_called(name)] == [one]


@pytest.mark.parametrize("name", ["kodak", "Kodak", "KODAK_24", "kodak 24"])
def test_case_and_hyphens_do_not_matter(name):
    assert find_data_set(name) is KODAK


@pytest.mark.parametrize("folder", ["kodak", "Kodak", "Kodak-24"])
def test_a_whole_set_is_found_under_any_name(folder, tmp_path):
    names = [f"{stem}.png" for stem in KODAK.file_stems]
    write_pictures(tmp_path / folder, names)
    pictures = find_pictures("kodak", [tmp_path / "none", tmp_path])
    assert pictures.name == "kodak"
    assert [path.name for path in pictures.paths] == names


def test_a_part_of_a_set_has_a_name_of_its_own(tmp_path):
    write_pictures(tmp_path / "kodak", [f"{stem}.png" for stem in KODAK.file_stems])
    pictures = find_pictures("kodak", [tmp_path], limit=2)
    assert pictures.name == "kodak, first 2 of 24"
    assert len(pictures.paths) == 2
    assert find_pictures("kodak", [tmp_path], limit=24).name == "kodak"


def test_an_incomplete_set_tells_what_is_missing(tmp_path):
    write_pictures(tmp_path / "kodak", [f"{stem}.png" for stem in KODAK.file_stems[1:]])
    with pytest.raises(UsageError) as caught:
        find_pictures("kodak", [tmp_path])
    for part in ("must have 24 pictures", "found 23 pictures, without kodim01", "r0k.us/graphics/kodak"):
        assert part in str(caught.value)


def test_a_picture_of_another_size_is_told(tmp_path):
    folder = write_pictures(tmp_path / "kodak", [f"{stem}.png" for stem in KODAK.file_stems])
    Image.new("L", (512, 512)).save(folder / "kodim07.png")
    with pytest.raises(UsageError, match=r"found kodim07\.png of 512x512"):
        find_pictures("kodak", [tmp_path])


def test_a_missing_set_tells_where_it_belongs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"must lie in a folder bracs below .*, found no such folder; published"):
        find_pictures("bracs", [tmp_path])
    with pytest.raises(UsageError, match=f"found no data root; name one, or set {DATA_VARIABLE}"):
        find_pictures("bracs")


def test_the_first_of_a_larger_set_are_taken(tmp_path):
    names = [f"{number:03d}.png" for number in range(200)]
    write_pictures(tmp_path / "SCI1K", names, size=(2, 2))
    found = look_for(find_data_set("sci1k"), [tmp_path])
    assert [path.name for path in found.paths] == names[:100]


def test_of_shifted_pictures_the_unshifted_are_taken(tmp_path):
    folder = write_pictures(tmp_path / "tecnick-40", [f"{number}_C00C00.png" for number in range(40)], (1200, 1200))
    for number in range(40):
        (folder / f"{number}_C00C01.png").touch()
    found = look_for(find_data_set("tecnick-40"), [tmp_path])
    assert len(found.paths) == 40
    assert all("C00C00" in path.name for path in found.paths)


def test_a_folder_gives_its_pictures_by_name(tmp_path):
    folder = write_pictures(tmp_path / "mine", ["b.png", "a.PNG", "c.tif"], size=(2, 2))
    for name in (".hidden.png", "notes.txt", "d.png.part"):
        (folder / name).touch()
    (folder / "below.png").mkdir()
    pictures = find_pictures(str(folder))
    assert pictures.name == "mine"
    assert [path.name for path in pictures.paths] == ["a.PNG", "b.png", "c.tif"]
    assert picture_files(folder) == pictures.paths


def test_a_folder_of_the_name_of_a_set_counts_where_no_data_root_has_it(tmp_path, monkeypatch):
    write_pictures(tmp_path / "kodak", ["one.png"])
    monkeypatch.chdir(tmp_path)
    assert len(find_pictures("kodak", [tmp_path / "none"]).paths) == 1
    with pytest.raises(UsageError, match="must have 24 pictures"):
        find_pictures("kodak", [tmp_path])
    assert len(find_pictures("./kodak", [tmp_path]).paths) == 1


def test_a_folder_below_a_data_root_needs_no_whole_path(tmp_path, monkeypatch):
    below = write_pictures(tmp_path / "root" / "ood" / "game", ["one.png"])
    found = find_pictures("ood/game", [tmp_path / "none", tmp_path / "root"])
    assert (found.name, found.paths) == ("game", (below / "one.png",))
    # One that lies where the command is run comes first.
    write_pictures(tmp_path / "ood" / "game", ["here.png"])
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in find_pictures("ood/game", [tmp_path / "root"]).paths] == ["here.png"]


def test_what_is_neither_folder_nor_set_is_refused(tmp_path):
    (tmp_path / "file.png").touch()
    (tmp_path / "empty").mkdir()
    for data, expected in (
        ("kodka", r"found neither; did you mean kodak\?"),
        (str(tmp_path / "none"), "found neither; sets are kodak, "),
        (str(tmp_path / "file.png"), "found a file; give its folder"),
        (str(tmp_path / "empty"), "must hold some .* found none"),
    ):
        with pytest.raises(UsageError, match=expected):
            find_pictures(data, [tmp_path])


def test_the_data_root_given_comes_before_the_variable(monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, "a:b")
    assert data_roots() == (Path("a"), Path("b"))
    assert data_roots(Path("c")) == (Path("c"),)
    monkeypatch.delenv(DATA_VARIABLE)
    assert data_roots() == ()
