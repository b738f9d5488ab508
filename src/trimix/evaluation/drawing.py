"""Matplotlib, set alike on every machine: the same input gives the same bytes. Figures are files or parts of pages."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from trimix.errors import UsageError
from trimix.shapes import Float, UInt8

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE, RULE = "#1b1e21", "#5c646b", "#dfe2e5"
"""Colours of text, of what is less important, and of lines."""
_SCALE_PERCENTILE = 99.5
"""Few positions are far above all others; a scale up to the highest would show nothing else."""


def require_packages(purpose: str, *needed: str) -> None:
    """Refuse a purpose, "a report" for example, before anything is computed, if a package of `evaluate` is missing.

    Raises:
        UsageError: one is not installed.
    """
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{purpose} needs the packages {', '.join(needed)}, found no {', no '.join(missing)}; "
            "pip install 'trimix[evaluate]'"
        )


@contextmanager
def drawing(**settings: Any) -> Iterator[None]:
    """Matplotlib's settings, whatever the machine's are; further ones with underscores for dots."""
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


def svg_element(figure: "Figure", name: str, variables: Mapping[str, str] | None = None) -> str:
    """A figure as an element of a page, whose colours follow the page's theme.

    Args:
        figure: drawn within `drawing`.
        name: unique in the page.
        variables: of the page's style, by further colours that they stand for.
    """
    with drawing(svg_fonttype="none"):
        svg = file_of(figure, "svg", transparent=True).decode()
    svg = svg[svg.index("<svg") :]
    # The size is the page's choice, and a style element would speak to the whole page.
    svg = re.sub(r' (?:width|height)="[0-9.]+pt"', "", svg, count=2)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    # Several such elements stand in one page: their names must not meet.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{name}-", svg)
    for colour, variable in {INK: "ink", PALE: "pale", RULE: "rule", **(variables or {})}.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return svg


def quieten(axes: "Axes", *spines: str, **ticks: Any) -> None:
    """Pale numbers without ticks, and no frame but for some of its spines."""
    axes.tick_params(colors=PALE, length=0, **ticks)
    for name, spine in axes.spines.items():
        spine.set(visible=name in spines, color=RULE)


def add_scale(axes: "Axes", highest: float, scale: str, size: float | None = None, **options: Any) -> None:
    """A bar of a colour scale from 0 beside a picture, its numbers of a size in points."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    bar = axes.figure.colorbar(ScalarMappable(Normalize(0, highest), scale), ax=axes, extend="max", **options)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=PALE, length=0, labelsize=size)


def upper_end(values: np.ndarray) -> float:
    """Upper end of a colour scale from 0: few positions lie above, and it is never 0."""
    return max(float(np.percentile(values, _SCALE_PERCENTILE)), 1e-3)


def heat_colours(values: Float[np.ndarray, "h w"], highest: float, scale: str) -> UInt8[np.ndarray, "h w 3"]:
    """Values from 0 to the highest in the colours of a scale of Matplotlib."""
    from matplotlib import colormaps

    return np.round(255 * colormaps[scale](np.clip(values / highest, 0, 1))[..., :3]).astype(np.uint8)


def ramp(scale: str, steps: int = 16) -> list[str]:
    """Colours of a scale from its lower to its upper end, as in style sheets."""
    return [f"#{bytes(colour).hex()}" for colour in heat_colours(np.linspace(0, 1, steps)[None], 1.0, scale)[0]]
