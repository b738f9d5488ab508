"""Matplotlib, set alike on every machine: the same input gives the same bytes."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE, RULE = "#1b1e21", "#5c646b", "#dfe2e5"
"""Colours of text, of what is less important, and of lines."""


@contextmanager
def drawing(**settings: Any) -> Iterator[None]:
    """Matplotlib's settings, whatever the machine's are.

    Args:
        settings: further ones, with underscores for dots.
    """
    import matplotlib

    common: dict[Any, Any] = {
        "font.family": ["DejaVu Sans"],
        "font.size": 9,
        "path.simplify": False,
        "svg.hashsalt": "trimix",
        "text.parse_math": False,  # names are names
        **{name.replace("_", "."): value for name, value in settings.items()},
    }
    with matplotlib.rc_context(common), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # of names in other alphabets
        yield


def file_of(figure: "Figure", extension: str, **options: Any) -> bytes:
    """A figure as the contents of a file, png or svg, without a date."""
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": "trimix"} if extension == "svg" else {"Software": "trimix"}
    figure.savefig(buffer, format=extension, metadata=metadata, **options)
    return buffer.getvalue()


def quieten(axes: "Axes", *spines: str, **ticks: Any) -> None:
    """Pale numbers without ticks, and no frame but for some of its spines."""
    axes.tick_params(colors=PALE, length=0, **ticks)
    for name, spine in axes.spines.items():
        spine.set(visible=name in spines, color=RULE)
