"""The page of a compressed file: one HTML file that loads nothing, in the look of the report."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

import trimix
from trimix.errors import UsageError
from trimix.evaluation.html import PAGE_MAXIMUM_BYTES, page_file, render, script_json
from trimix.evaluation.inspection.charts import histogram_chart, stacked, transform_chart
from trimix.evaluation.inspection.inspecting import Inspection
from trimix.evaluation.inspection.maps import (
    Maps,
    maps_of,
    mixed_colours,
    share_colour,
    triangle_colours,
    triangle_place,
)
from trimix.evaluation.inspection.wording import fixed, grouped, percent
from trimix.evaluation.report.embedding import embed_lossless, embed_preview
from trimix.evaluation.report.heat import heat_colours, upper_end

_PACKAGE = "trimix.evaluation.inspection"
CHANNEL_ROWS = 16
"""Channels with a row of their own, those with most bits."""
_POSITIONS_MAXIMUM = 2**16
"""Of the maps: more than a screen shows."""
_HIGHEST_VALUE = 65535
_BITS_SCALE, _SHARE_SCALE, _DEVIATION_SCALE = "inferno", "viridis", "cividis"
"""Colour scales of Matplotlib: for bits, for one share, for standard deviations."""


@dataclass(frozen=True)
class Part:
    """A row of the table of what the file is made of."""

    name: str
    bits: float


def make_page(inspection: Inspection, title: str) -> bytes:
    """The page, below 8 MB whatever the picture.

    Large pictures have coarser maps: several latents are one position.

    Args:
        inspection: of the file.
        title: of the page.

    Raises:
        UsageError: the model has too many components for a page.
    """
    parts = _parts(inspection, title)
    largest = max(inspection.statistics.bits.shape)
    factor = 1
    while inspection.statistics.bits.size / factor**2 > _POSITIONS_MAXIMUM:
        factor += 1
    while factor <= largest:
        page = _render(parts, _maps(inspection, maps_of(inspection, factor)))
        if len(page) <= PAGE_MAXIMUM_BYTES:
            return page
        factor *= 2
    raise UsageError(
        f"a page must have at most {PAGE_MAXIMUM_BYTES} bytes, found more with the coarsest maps; write a .png"
    )


def parts_of_file(inspection: Inspection) -> list[Part]:
    """What the file is made of; their bits sum to those of the file."""
    found = [
        Part("header", inspection.header_bits),
        Part("hyper-latents", inspection.hyper_latent_bits),
        Part("latents", inspection.latent_bits),
        Part("coder", inspection.coder_bits),
    ]
    if inspection.metadata_bits:
        found.append(Part("metadata", inspection.metadata_bits))
    return found


def _parts(inspection: Inspection, title: str) -> dict[str, Any]:
    """What the template needs, but for the maps."""
    from markupsafe import Markup

    statistics = inspection.statistics
    order = inspection.channels_by_bits
    count = len(statistics.shares)
    return {
        "version": trimix.__version__,
        "title": title,
        "inspection": inspection,
        "statistics": statistics,
        "names": statistics.shares.names,
        "colours": [share_colour(index) for index in range(count)],
        "several": count > 1,
        "parts": parts_of_file(inspection),
        "latent_count": statistics.transform.count,
        "ordered_channels": stacked(statistics.channel_weight_bits[order]),
        "channels": [_channel_row(inspection, channel) for channel in order[:CHANNEL_ROWS].tolist()],
        "histograms": [(histogram, histogram_chart(histogram)) for histogram in statistics.histograms],
        "transforms": [
            ("Latents in doubt", statistics.doubtful_transform, transform_chart(statistics.doubtful_transform)),
            ("All latents", statistics.transform, transform_chart(statistics.transform)),
        ],
        "preview": embed_preview(inspection.pixels).source,
        "style": Markup(
            page_file("trimix.evaluation.report", "style.css") + "\n" + page_file(_PACKAGE, "inspection.css")
        ),
        "script": Markup(f"(() => {{\n{page_file(_PACKAGE, 'inspection.js')}\n}})();"),
        "grouped": grouped,
        "fixed": fixed,
        "percent": percent,
    }


def _channel_row(inspection: Inspection, channel: int) -> dict[str, Any]:
    statistics = inspection.statistics
    bits = float(statistics.channel_bits[channel])
    return {
        "channel": channel,
        "bits": bits,
        "bits_share": bits / inspection.latent_bits,
        "zero_share": float(statistics.channel_zero_share[channel]),
        "weights": (statistics.channel_weight_bits[channel] / bits).tolist(),
        "responsibilities": (statistics.channel_responsibility_bits[channel] / bits).tolist(),
    }


def _maps(inspection: Inspection, maps: Maps) -> dict[str, Any]:
    """Pictures of the maps, and values for the script."""
    names = inspection.statistics.shares.names
    bits_highest, deviation_highest = upper_end(maps.bits_per_pixel), upper_end(maps.standard_deviation)
    share_highest = max(upper_end(maps.weight_shares), upper_end(maps.responsibility_shares))
    found = [
        _heat("bits", "Bits", maps.bits_per_pixel, bits_highest, _BITS_SCALE, "bpp", 2),
        _heat("deviation", "Scale", maps.standard_deviation, deviation_highest, _DEVIATION_SCALE, "", 2),
    ]
    if len(names) > 1:
        kinds = {"weights": maps.weight_shares, "responsibilities": maps.responsibility_shares}
        mixtures = {kind: embed_lossless(mixed_colours(shares)).source for kind, shares in kinds.items()}
        found.insert(1, {"key": "mixture", "name": "Mixture", "sources": mixtures})
        found[2:2] = [
            {
                **_scale(100 * share_highest, _SHARE_SCALE, "%", 0),
                "key": f"share-{index}",
                "name": name,
                "sources": {
                    kind: embed_lossless(heat_colours(shares[:, :, index], share_highest, _SHARE_SCALE)).source
                    for kind, shares in kinds.items()
                },
            }
            for index, name in enumerate(names)
        ]
    return {
        "maps": found,
        "first": "mixture" if len(names) > 1 else "bits",
        "triangle": _triangle(inspection) if len(names) == 3 else None,
        "data": {
            "width": inspection.width,
            "height": inspection.height,
            "stride": maps.stride,
            "rows": maps.bits.shape[0],
            "columns": maps.bits.shape[1],
            "names": list(names),
            "maps": found,
            "bits": _values(maps.bits),
            "deviation": _values(maps.standard_deviation),
            "weights": [_values(share) for share in np.moveaxis(maps.weight_shares, 2, 0)],
            "responsibilities": [_values(share) for share in np.moveaxis(maps.responsibility_shares, 2, 0)],
        },
    }


def _heat(
    key: str, name: str, values: np.ndarray, highest: float, scale: str, unit: str, decimals: int
) -> dict[str, Any]:
    source = embed_lossless(heat_colours(values, highest, scale)).source
    return {"key": key, "name": name, "sources": {"all": source}} | _scale(highest, scale, unit, decimals)


def _scale(highest: float, scale: str, unit: str, decimals: int) -> dict[str, Any]:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    steps = np.linspace(0, 1, 5)
    ticks = [fixed(step * highest, decimals) for step in steps.tolist()]
    ticks[-1] = f"≥ {ticks[-1]} {unit}".strip()
    return {"ramp": [to_hex(colormaps[scale](step)) for step in np.linspace(0, 1, 16)], "ticks": ticks}


def _triangle(inspection: Inspection) -> dict[str, Any]:
    shares = {"weights": inspection.weight_shares, "responsibilities": inspection.responsibility_shares}
    return {
        "source": embed_lossless(triangle_colours(192)).source,
        "places": {kind: [100 * place for place in triangle_place(found)] for kind, found in shares.items()},
    }


def _values(values: np.ndarray) -> dict[str, Any]:
    step = max(float(values.max()), 1e-6) / _HIGHEST_VALUE
    text = base64.b64encode(np.round(values / step).astype("<u2").tobytes()).decode()
    return {"values": text, "step": step}


def _render(parts: dict[str, Any], maps: dict[str, Any]) -> bytes:
    from markupsafe import Markup

    return render(_PACKAGE, "inspection.html", **parts, maps=maps, maps_data=Markup(script_json(maps["data"])))
