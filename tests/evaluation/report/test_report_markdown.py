"""The Markdown tables say what the curves say."""

from report_examples import means_only, results

from trimix.evaluation.report.curves import collect
from trimix.evaluation.report.markdown import markdown_tables, table


def cells(document: str, heading: str) -> list[list[str]]:
    """Rows of the first table below a heading."""
    below = document.split(f"## {heading}\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in below.splitlines()]


def test_a_codec_with_nine_tenths_of_the_bytes_has_minus_ten_percent():
    collection = collect([results("large"), results("small", rate=0.9)])
    document = markdown_tables(collection, collection.curves[0])
    head, _, large, small = cells(document, "BD-rate in PSNR RGB, %")
    assert head == ["", "large", "small"]
    assert large == ["large", "–", "+11.1"]
    assert small == ["small", "-10.0", "–"]


def test_every_mean_has_its_row():
    collection = collect([results("one", qualities=5), results("two", qualities=6)])
    rows = cells(markdown_tables(collection, collection.curves[0]), "Means over the pictures")[2:]
    assert [row[:2] for row in rows] == [["one", f"{10 * n}"] for n in range(1, 6)] + [
        ["two", f"{10 * n}"] for n in range(1, 7)
    ]
    means = collection.curves[0].results.means[0]
    assert rows[0][2:4] == [f"{means.point.bits_per_pixel:.4f}", f"{means.point.psnr_db:.3f}"]


def test_perceptual_metrics_have_columns_where_a_codec_has_them():
    collection = collect([results("new"), means_only("old")])
    head, _, *rows = cells(markdown_tables(collection, collection.curves[0]), "Means over the pictures")
    assert head[6:8] == ["SSIMULACRA2", "Butteraugli"]
    point = collection.curves[0].results.means[0].point
    assert rows[0][6:8] == [f"{point.ssimulacra2:.2f}", f"{point.butteraugli:.3f}"]
    assert rows[-1][6:8] == ["–", "–"]
    old = collect([means_only("old")])
    (row,) = [line for line in markdown_tables(old, old.curves[0]).splitlines() if line.startswith("| codec |")]
    assert row == "| codec | quality | bpp | PSNR, dB | PSNR Y, dB | MS-SSIM | encode, s | decode, s |"


def test_a_published_anchor_comes_first_and_what_is_unknown_is_a_dash():
    collection = collect([means_only("ours", data="kodak")])
    document = markdown_tables(collection, collection.anchor("vtm"))
    head, _, ours = cells(document, "BD-rate in PSNR RGB, %")
    assert head[1].startswith("VTM")
    assert len(ours) == 3
    assert cells(document, "Means over the pictures")[2][-2:] == ["–", "–"]


def test_a_small_overlap_is_in_brackets():
    few, many = results("few", qualities=4), results("many", qualities=12)
    collection = collect([few, many])
    row = cells(markdown_tables(collection, collection.curves[0]), "BD-rate in PSNR RGB, %")[3]
    assert row[1].startswith("(")
    assert row[1].endswith(")")


def test_a_bar_in_a_name_does_not_end_a_cell():
    assert table(["a|b"], [["c\\d"]])[0] == "| a\\|b |"


def test_a_model_with_nine_tenths_of_the_bytes_has_minus_ten_percent_on_every_picture():
    model = results("model", rate=0.9, provenance={"settings": {"model_hash": "00"}})
    collection = collect([model, results("other")])
    document = markdown_tables(collection, collection.curves[0])
    points, *changes = document.partition("## model, picture by picture\n")[2].split("\n\n|")[1:]
    assert len(changes) == len(collection.metrics)
    first = model.measurements[0]
    cell = f"{8 * first.file_bytes / (400 * 300):.3f} / {first.psnr_db:.2f}"
    assert f"| a.png | {cell} |" in points
    for found in changes:
        assert f"{found}\n".split("\n")[2:4] == ["| a.png | -10.0 |", "| b.png | -10.0 |"]


def test_codecs_alone_have_no_tables_of_pictures():
    collection = collect([results("one"), results("two")])
    assert "picture by picture" not in markdown_tables(collection, collection.curves[0])


def test_published_curves_have_their_columns():
    collection = collect([means_only("ours", data="kodak")])
    document = markdown_tables(collection, collection.anchor("vtm"))
    below = document.split("Against published curves:\n\n")[1].split("\n\n")[0].splitlines()
    assert [row.count("|") for row in below] == [len(collection.curves) + 1] * 3
    for name in ("VTM", "AV1", "BPG 4:4:4 x265", "JPEG"):
        assert f"| {name} |" in below[0]
