"""How curves are told apart: colours, markers and dashes, the same in the page and in figures for papers.

Measured codecs have colours that stay apart under the common kinds of colour blindness, and a marker each; published
curves are grey and dashed, so that they stand behind. The tests hold the distances.
"""

from dataclasses import dataclass

_COLOURS = (
    ("#d55e00", "#f28a3c"),
    ("#0072b2", "#4ba4f9"),
    ("#78974f", "#a6e27f"),
    ("#a13874", "#bb52b0"),
    ("#12a2ba", "#7fe8d0"),
    ("#0c2877", "#d59cc8"),
    ("#585431", "#f2e35c"),
    ("#fc3982", "#ec3281"),
    ("#6c4ffa", "#1d61d3"),
    ("#724901", "#b84008"),
    ("#7411bd", "#7c35ff"),
    ("#b072f6", "#ed0d55"),
)
_GREYS = (("#3d4650", "#d3dae1"), ("#7d858d", "#98a2ad"), ("#a88b63", "#c0a47a"))
# (Plotly's name, Matplotlib's)
_MARKERS = (
    ("circle", "o"),
    ("square", "s"),
    ("diamond", "D"),
    ("triangle-up", "^"),
    ("triangle-down", "v"),
    ("pentagon", "p"),
    ("star", "*"),
)
_DASHES = (
    ("dash", (0, (6, 3))),
    ("dot", (0, (1.5, 2))),
    ("dashdot", (0, (7, 2.5, 1.5, 2.5))),
    ("longdash", (0, (11, 3))),
)


@dataclass(frozen=True)
class Style:
    """How a curve is drawn: colours on white and on nearly black, markers and dashes as either library calls them.

    Without a marker of Matplotlib there is none; a dash of it is an offset and lengths in line widths.
    """

    light: str
    dark: str
    plotly_marker: str = "circle"
    matplotlib_marker: str = ""
    plotly_dash: str = "solid"
    matplotlib_dash: tuple[float, tuple[float, ...]] | None = None


def measured_style(index: int) -> Style:
    """Style of a measured curve; 84 are different, 12 of them by colour alone."""
    light, dark = _COLOURS[index % len(_COLOURS)]
    return Style(light, dark, *_MARKERS[index % len(_MARKERS)])


def published_style(index: int) -> Style:
    """Style of a published curve; 12 are different."""
    light, dark = _GREYS[index // len(_DASHES) % len(_GREYS)]
    plotly_dash, matplotlib_dash = _DASHES[index % len(_DASHES)]
    return Style(light, dark, plotly_dash=plotly_dash, matplotlib_dash=matplotlib_dash)
