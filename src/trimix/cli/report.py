"""``trimix report``: results of evaluations as one page with plots, tables and pictures."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimix.cli.inputs import Source, naming
from trimix.cli.interrupts import raise_if_interrupted
from trimix.cli.locations import make_folder
from trimix.cli.networks import announce_compilation, prepare_torch
from trimix.cli.options import Device, ForceOption
from trimix.cli.outputs import Destination, print_summary
from trimix.errors import OutputError, OutputExistsError, PictureError, UsageError
from trimix.frozen.catalogue import DEFAULT_MODEL, find_model
from trimix.progress import working

if TYPE_CHECKING:
    from trimix.evaluation.report.equal_size import EqualSize

MAXIMUM_PICTURES = 6
DEFAULT_BITS_PER_PIXEL = 0.25


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS.json|FOLDER...",
            help="Of 'trimix evaluate', or of CompressAI; all on one set of pictures. A folder stands for its files.",
        ),
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="PAGE.html", help="Page to write; - writes standard output.")
    ] = "report.html",
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor",
            metavar="NAME",
            help="Codec that BD-rates are shown against at first.",
            show_default="published VTM on Kodak, else the first",
        ),
    ] = None,
    picture: Annotated[
        list[str] | None,
        typer.Option(
            "--picture",
            metavar="FILE",
            help=f"Picture to show side by side, with a map of its bits; up to {MAXIMUM_PICTURES}.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="NAME|FILE", help="Model that codes these pictures.", show_default=DEFAULT_MODEL
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer",
            metavar="NAME",
            help="Other codec that codes them at equal size; may be given several times.",
            show_default="as in 'trimix evaluate --peers default'",
        ),
    ] = None,
    bits_per_pixel: Annotated[
        float, typer.Option("--bits-per-pixel", metavar="BPP", help="Size of their files.")
    ] = DEFAULT_BITS_PER_PIXEL,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="FOLDER", help="Write every plot there too, as PNG and SVG for papers."),
    ] = None,
    markdown: Annotated[
        str | None,
        typer.Option(
            "--markdown", metavar="FILE.md", help="Write BD-rates, means and settings there too, as Markdown."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="Title of the page.")] = None,
    force: ForceOption = False,
) -> None:
    """Make a page of results: curves, BD-rates, tables, and pictures at equal size.

    The page is one file that loads nothing and opens anywhere. Published curves
    are drawn beside results on Kodak.
    """
    sources = _checked_pictures(picture or [], bits_per_pixel, {"--model": model, "--peer": peer})
    from trimix.evaluation.drawing import require_packages
    from trimix.evaluation.report.curves import collect, read_all, results_files
    from trimix.evaluation.report.figures import figure_names
    from trimix.evaluation.report.markdown import markdown_tables

    require_packages("a report", "bjontegaard", "jinja2", "matplotlib", "plotly")
    collection = collect(read_all(results))
    chosen = collection.anchor(anchor)
    inputs = [Source(str(file), UsageError) for file in results_files(results)]
    destination = _destination(output, [*inputs, *sources], force=force)
    tables = None if markdown is None else _destination(markdown, [*inputs, *sources], force=force)
    if markdown == output:
        raise UsageError(f"--markdown must be another file than the page, found {markdown} for both")
    if figures is not None:
        if figures.exists() and not figures.is_dir():
            raise OutputError(f"{figures}: must be a folder, found a file; give another --figures")
        for name in figure_names(collection, [_name(source) for source in sources]):
            if (figures / name).exists() and not force:
                raise OutputExistsError(f"{figures / name} already exists; replace it, or choose another folder")
    compared = _compare(sources, model or DEFAULT_MODEL, peer, bits_per_pixel) if sources else []
    with working("drawing"):
        from trimix.evaluation.report.figures import all_figures
        from trimix.evaluation.report.page import make_page
        from trimix.images import write_atomically

        heading = title or (f"Codecs on {collection.data}" if collection.data else "Codecs compared")
        page = make_page(collection, chosen, heading, compared)
        drawn = {} if figures is None else dict(all_figures(collection, compared))
        raise_if_interrupted()
    if figures is not None:
        make_folder(figures)
        for name, data in drawn.items():
            write_atomically(figures / name, data, overwrite=force)
    destination.write(page)
    if tables is not None:
        tables.write(markdown_tables(collection, chosen).encode())
    parts = [f"{len(collection.measured)} measured curves" if len(collection.measured) > 1 else "1 measured curve"]
    if sources:
        parts.append(f"{len(sources)} picture{'s' if len(sources) > 1 else ''} at {bits_per_pixel:g} bpp")
    if tables is not None:
        parts.append(f"tables in {tables.name}")
    if figures is not None:
        parts.append(f"{len(drawn)} figures in {figures}")
    print_summary(f"{destination.name}: {', '.join(parts)}, {len(page)} bytes")


def _destination(output: str, sources: Sequence[Source], *, force: bool) -> Destination:
    """The output, which must be none of the inputs."""
    first, *_ = [Destination(output, source, force=force) for source in sources]
    return first


def _checked_pictures(pictures: Sequence[str], bits_per_pixel: float, needing: Mapping[str, object]) -> list[Source]:
    """The sources of the pictures, after what can be refused at once."""
    if len(pictures) > MAXIMUM_PICTURES:
        raise UsageError(
            f"--picture may be given up to {MAXIMUM_PICTURES} times, found {len(pictures)}; leave some out"
        )
    if not (math.isfinite(bits_per_pixel) and bits_per_pixel > 0):
        raise UsageError(f"--bits-per-pixel must be positive, found {bits_per_pixel:g}")
    for option, value in needing.items():
        if value and not pictures:
            raise UsageError(f"{option} is about pictures at equal size, found no --picture; name one")
    return [Source(picture, PictureError) for picture in pictures]


def _compare(
    sources: Sequence[Source], model: str, peer_names: Sequence[str] | None, bits_per_pixel: float
) -> "list[EqualSize]":
    entry = find_model(model)
    with working("loading the model"):
        device = prepare_torch(Device.CPU, None)
        from trimix.codec import Codec
        from trimix.evaluation.peers import DEFAULT_PEERS, find_peers
        from trimix.evaluation.report.equal_size import compare_at_equal_size
        from trimix.images import read_picture

        raise_if_interrupted()
        peers = find_peers(peer_names) if peer_names else DEFAULT_PEERS
        codec = Codec.load(entry.path, device)
    announce_compilation("encoding")
    compared = []
    for source in sources:
        with working(f"compressing {source.name}"), naming(source):
            original = read_picture(source.path_or_contents()).flattened().in_8_bits()
            compared.append(compare_at_equal_size(_name(source), original, codec, peers, bits_per_pixel))
    return compared


def _name(source: Source) -> str:
    return source.name if source.path is None else source.path.name
