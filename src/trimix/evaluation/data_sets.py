"""Pictures to measure on: folders, and the sets of the papers by name. Nothing is downloaded. Works without torch.

A named set lies in a folder of that name below a data root. It is measured only when it is whole: means over 23 of
24 pictures do not compare with published ones.

Kodak has been checked against its pictures; the counts and sizes of the other sets are those of their papers and
pages. `DataSet.unchecked` says where these leave a question.
"""

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimix.errors import MissingDataError, UsageError

DATA_VARIABLE = "TRIMIX_DATA"
"""Environment variable: folders with named sets, separated like PATH."""
PICTURE_EXTENSIONS = (
    ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".gif", ".jpg", ".jpeg",
)  # fmt: skip
"""Files of a folder that are taken for pictures; hidden ones are not."""
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class DataSet:
    """A set of pictures that papers measure on.

    Attributes:
        key: name on the command line and of the folder.
        count: pictures that are measured.
        sizes: in words, pixels.
        published: where it can be had.
        used_by: the papers behind trimix that measure on it.
        allowed_sizes: every picture has one of these widths and heights; empty where sizes are not told.
        aliases: other names of the folder; case, hyphens and underscores never matter.
        file_stems: names of all pictures without extension; empty where they are not known.
        name_part: of a folder that also holds other pictures, those with this in their names are meant.
        whole_count: pictures of the published set that the first `count` by name are taken of; 0 where it is all.
        unchecked: what is not certain.
    """

    key: str
    title: str
    count: int
    sizes: str
    published: str
    used_by: str
    allowed_sizes: frozenset[tuple[int, int]] = frozenset()
    aliases: tuple[str, ...] = ()
    file_stems: tuple[str, ...] = ()
    name_part: str = ""
    whole_count: int = 0
    unchecked: str = ""

    @property
    def expectation(self) -> str:
        """How many pictures of what size."""
        first = f"the first of {self.whole_count}, " if self.whole_count else ""
        return f"{self.count} pictures ({first}{self.sizes})"

    def is_called(self, name: str) -> bool:
        """Whether it goes by that name.

        >>> DATA_SETS[0].is_called("KODAK_24")
        True
        """
        return _plain(name) in {_plain(one) for one in (self.key, *self.aliases)}


@dataclass(frozen=True)
class Pictures:
    """Picture files to measure on, at least one, in the order of their names.

    Attributes:
        name: of the set or the folder.
        fingerprint: SHA-256 over the names and contents of the files, hexadecimal; empty before they are examined.
        left_out: what is said of those that cannot be read, one line each.
    """

    name: str
    paths: tuple[Path, ...]
    fingerprint: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What a search for a set came to.

    Attributes:
        folder: of that name; None where there is none.
        paths: its pictures, if it is whole; else empty.
        problem: what is wrong; empty where it is whole.
    """

    data_set: DataSet
    folder: Path | None
    paths: tuple[Path, ...]
    problem: str = ""


_SQUARE_1200 = frozenset({(1200, 1200)})
_REGULARIZER = "regularizer (arXiv 2411.16727)"
_GLLMM = "GLLMM (Fu and others)"

DATA_SETS = (
    DataSet(
        key="kodak",
        title="Kodak",
        count=24,
        sizes="768x512 or 512x768",
        published="Kodak Lossless True Color Image Suite (PhotoCD PCD0992), r0k.us/graphics/kodak",
        used_by=f"{_GLLMM}; {_REGULARIZER}",
        allowed_sizes=frozenset({(768, 512), (512, 768)}),
        aliases=("kodak24", "kodak-photocd"),
        file_stems=tuple(f"kodim{number:02d}" for number in range(1, 25)),
    ),
    DataSet(
        key="tecnick-100",
        title="Tecnick-100",
        count=100,
        sizes="1200x1200",
        published="TESTIMAGES (testimages.org), its older archive OLD_SAMPLING: the folder RGB_OR_1200x1200",
        used_by=f"{_GLLMM}; {_REGULARIZER}",
        allowed_sizes=_SQUARE_1200,
        aliases=("tecnick", "RGB_OR_1200x1200"),
        unchecked="the regularizer's paper says Tecnick only; 100 or 40 is not told",
    ),
    DataSet(
        key="tecnick-40",
        title="Tecnick-40",
        count=40,
        sizes="1200x1200",
        published="TESTIMAGES (testimages.org), SAMPLING_8BIT_RGB_1200x1200: the unshifted ones, C00C00 in the name",
        used_by=_GLLMM,
        allowed_sizes=_SQUARE_1200,
        aliases=("SAMPLING_8BIT_RGB_1200x1200",),
        name_part="C00C00",
        unchecked="that the paper takes the size 1200x1200 of the archive's several, and the shift 0",
    ),
    DataSet(
        key="clic-2024",
        title="CLIC 2024 validation",
        count=30,
        sizes="the longer side at most 2048",
        published="Challenge on Learned Image Compression, validation set of the image track, clic2024.compression.cc",
        used_by=_REGULARIZER,
        aliases=("clic-2024-validation", "clic-2024-valid", "clic2024_validation_image"),
        unchecked="count and size are those that CLIC's page of 2022 tells of the validation set",
    ),
    DataSet(
        key="pixel-style",
        title="pixel-style",
        count=100,
        sizes="of several sizes",
        published="with 'Dynamic Low-Rank Instance Adaptation for Universal Neural Image Compression' "
        "(Lv and others 2023), project llvy21/DUIC on GitHub",
        used_by=_REGULARIZER,
        unchecked="sizes",
    ),
    DataSet(
        key="sci1k",
        title="SCI1K",
        count=100,
        sizes="of several sizes",
        published="with 'Implicit Transformer Network for Screen Content Image Continuous Super-Resolution' "
        "(Yang and others 2021), project codyshen0000/ITSRN on GitHub: its test set",
        used_by=_REGULARIZER,
        aliases=("sci1k-test",),
        whole_count=200,
        unchecked="that the test set has 200 pictures, their sizes, and that 'first' means by name",
    ),
    DataSet(
        key="cct-cgi",
        title="CCT-CGI",
        count=24,
        sizes="1920x1080 or 1280x720",
        published="cross-content-type (CCT) database of Min and others, IEEE Transactions on Image Processing 2017: "
        "the undistorted computer graphics",
        used_by=_REGULARIZER,
        aliases=("cct",),
        unchecked="sizes",
    ),
    DataSet(
        key="bracs",
        title="BRACS",
        count=100,
        sizes="of several sizes",
        published="BRACS: breast carcinoma subtyping (Brancati and others 2022), bracs.icar.cnr.it: "
        "the test set of its regions of interest, all classes in one folder",
        used_by=_REGULARIZER,
        aliases=("bracs-test", "bracs-roi"),
        whole_count=570,
        unchecked="that the regions of interest are meant, that their test set has 570, and that 'first' means by name",
    ),
)
"""Every set of the two papers."""


def find_data_set(name: str) -> DataSet | None:
    """The set of a name, or None.

    >>> find_data_set("Tecnick").key
    'tecnick-100'
    """
    return next((one for one in DATA_SETS if one.is_called(name)), None)


def data_roots(given: Path | None = None) -> tuple[Path, ...]:
    """Folders that named sets are looked for in: the one given, else those of ``TRIMIX_DATA``."""
    if given is not None:
        return (given,)
    return tuple(Path(part) for part in os.environ.get(DATA_VARIABLE, "").split(os.pathsep) if part)


def look_for(data_set: DataSet, roots: Iterable[Path]) -> Found:
    """Whether a set is there, and whole; the first of the roots that holds its folder counts.

    Raises:
        UsageError: a folder cannot be read.
    """
    for root in roots:
        folders = sorted(path for path in _entries(root) if data_set.is_called(path.name) and path.is_dir())
        if folders:
            folder = next((path for path in folders if path.name.casefold() == data_set.key), folders[0])
            return _examine(data_set, folder)
    return Found(data_set, None, (), "there is no folder of that name")


def find_pictures(data: str, roots: Sequence[Path] = (), limit: int | None = None) -> Pictures:
    """The pictures of a named set or a folder.

    Args:
        data: name of a set, or a folder, as it is or below a data root. A name without a slash means the set, if one
            is called so and it is in a data root.
        roots: folders that may hold sets and other folders of pictures.
        limit: take the first so many only.

    Raises:
        UsageError: neither folder nor set, a set that is missing or not whole, or a folder without pictures.
    """
    folder = Path(data)
    data_set = find_data_set(data) if folder.name == data else None
    if data_set is not None:
        found = look_for(data_set, roots)
        if found.paths:
            return _limited(data_set.key, found.paths, limit)
        if found.folder is not None or not folder.is_dir():
            raise MissingDataError(_missing(found, roots))
    if not folder.exists() and not folder.is_absolute():
        folder = next((root / folder for root in roots if (root / folder).is_dir()), folder)
    if folder.is_dir():
        paths = picture_files(folder)
        if not paths:
            raise UsageError(
                f"{data}: a folder of pictures must hold some ({', '.join(PICTURE_EXTENSIONS)}), found none; "
                "pictures in folders below it are not taken"
            )
        # Of a symbolic link its own name is meant.
        named = folder if folder.name not in ("", "..") else folder.resolve()
        return _limited(named.name or data, paths, limit)
    if folder.exists():
        raise UsageError(f"{data}: must be a folder of pictures, found a file; give its folder")
    names = [one.key for one in DATA_SETS]
    near = difflib.get_close_matches(data.casefold(), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; sets are {', '.join(names)}"
    raise UsageError(f"{data}: must be a folder of pictures or a named set, found neither{hint}")


def picture_files(folder: Path) -> tuple[Path, ...]:
    """Picture files of a folder by name, not of folders below it.

    Raises:
        UsageError: it cannot be read.
    """
    found = (path for path in _entries(folder) if path.suffix.lower() in PICTURE_EXTENSIONS)
    return tuple(sorted(path for path in found if not path.name.startswith(".") and path.is_file()))


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{folder}: a folder must be readable, found {error.strerror}; choose another") from error


def _examine(data_set: DataSet, folder: Path) -> Found:
    paths = picture_files(folder)
    problem = "1 picture" if len(paths) == 1 else f"{len(paths)} pictures"
    if data_set.name_part and len(paths) > data_set.count:
        paths = tuple(path for path in paths if data_set.name_part in path.name)
    if data_set.whole_count and len(paths) == data_set.whole_count:
        paths = paths[: data_set.count]
    stems = {path.stem.casefold() for path in paths}
    missing = [stem for stem in data_set.file_stems if stem not in stems]
    if missing:
        rest = len(missing) - _NAMES_SHOWN
        problem += f", without {', '.join(missing[:_NAMES_SHOWN])}" + (f" and {rest} more" if rest > 0 else "")
        return Found(data_set, folder, (), problem)
    if len(paths) != data_set.count:
        return Found(data_set, folder, (), problem)
    for path in paths if data_set.allowed_sizes else ():
        size = _size(path)
        if size is not None and size not in data_set.allowed_sizes:
            return Found(data_set, folder, (), f"{path.name} of {size[0]}x{size[1]}")
    return Found(data_set, folder, paths)


def _size(path: Path) -> tuple[int, int] | None:
    # Only the head of the file is read; here, so that listing sets does not wait for Pillow where there are none.
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError):
        return None  # damaged: whoever reads its pixels will say so


def _missing(found: Found, roots: Sequence[Path]) -> str:
    data_set = found.data_set
    published = f"published as: {data_set.published}"
    if found.folder is not None:
        unchecked = f" (not checked: {data_set.unchecked})" if data_set.unchecked else ""
        return (
            f"{data_set.key}: must have {data_set.expectation}{unchecked}, found {found.problem} in {found.folder}; "
            f"complete it, or give the folder's path to measure it as it is; {published}"
        )
    where = f"below {', '.join(str(root) for root in roots)}" if roots else "below a data root"
    what = "no such folder" if roots else f"no data root; name one, or set {DATA_VARIABLE}"
    return (
        f"{data_set.key}: {data_set.expectation} must lie in a folder {data_set.key} {where}, found {what}; {published}"
    )


def _limited(name: str, paths: tuple[Path, ...], limit: int | None) -> Pictures:
    if limit is None or limit >= len(paths):
        return Pictures(name, paths)
    # Under a name of its own: means over a part must not be taken for those over the set.
    return Pictures(f"{name}, first {limit} of {len(paths)}", paths[:limit])


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
