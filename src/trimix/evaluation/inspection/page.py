"""The page of a compressed file: one HTML file that loads nothing, in the look of the report."""

from collections.abc import Callable
from typing import Any

import numpy as np

from trimix.errors import UsageError
from trimix.evaluation.drawing import INK, drawing, heat_colours, ramp, svg_element
from trimix.evaluation.inspection.figure import draw_channel_bits, draw_histogram, draw_transform
from trimix.evaluation.inspection.inspecting import Inspection
from trimix.evaluation.inspection.maps import (
    Maps,
    heat_maps,
    maps_of,
    mixed_colours,
    share_colour,
    triangle_colours,
    triangle_place,
)
from trimix.evaluation.pages import (
    PAGE_MAXIMUM_BYTES,
    embed_lossless,
    embed_preview,
    embed_values,
    fixed,
    render,
    script_json,
)

CHANNEL_ROWS = 16
"""Channels with a row of their own, those with most bits."""
_POSITIONS_MAXIMUM = 2**16
"""Of the maps: more than a screen shows."""


def make_page(inspection: Inspection, title: str) -> bytes:
    """The page, below 8 MB whatever the picture.

    Large pictures have coarser maps: several latents are one position.

    Raises:
        UsageError: the model has too many components for a page.
    """
    values = _values(inspection, title)
    bits = inspection.statistics.bits
    factor = 1
    while bits.size / factor**2 > _POSITIONS_MAXIMUM:
        factor += 1
    while factor <= max(bits.shape):
        data = _maps(inspection, maps_of(inspection, factor))
        styles, scripts = ["style.css", "inspection.css"], ["page.js", "inspection.js"]
        page = render("inspection.html", styles, scripts, **values, data=data, maps_data=script_json(data))
        if len(page) <= PAGE_MAXIMUM_BYTES:
            return page
        factor *= 2
    raise UsageError(
        f"a page must have at most {PAGE_MAXIMUM_BYTES} bytes, found more with the coarsest maps; write a .png"
    )


def parts_of_file(inspection: Inspection) -> dict[str, float]:
    """Bits of what the file is made of; they sum to those of the file."""
    found: dict[str, float] = {
        "header": inspection.header_bits,
        "hyper-latents": inspection.hyper_latent_bits,
        "latents": inspection.latent_bits,
        "coder": inspection.coder_bits,
    }
    return found | {"metadata": inspection.metadata_bits} if inspection.metadata_bits else found


def _values(inspection: Inspection, title: str) -> dict[str, Any]:
    """What the template needs, but for the maps."""
    statistics = inspection.statistics
    names = statistics.shares.names
    transforms = {"Latents in doubt": statistics.doubtful_transform, "All latents": statistics.transform}
    shares = {"weights": inspection.weight_shares, "responsibilities": inspection.responsibility_shares}
    triangle = None
    if len(names) == 3:
        places = {kind: [100 * place for place in triangle_place(found)] for kind, found in shares.items()}
        triangle = {"source": embed_lossless(triangle_colours(192)), "places": places}
    return {
        "title": title,
        "inspection": inspection,
        "statistics": statistics,
        "names": names,
        "colours": [share_colour(index) for index in range(len(names))],
        "several": len(names) > 1,
        "parts": parts_of_file(inspection),
        "latent_count": statistics.transform.count,
        "channel_chart": _chart("channels", 9.0, 1.9, draw_channel_bits, inspection),
        "channels": [
            _channel_row(inspection, channel) for channel in inspection.channels_by_bits[:CHANNEL_ROWS].tolist()
        ],
        "histograms": [
            (histogram, _chart(f"channel-{histogram.channel}", 2.6, 1.9, draw_histogram, histogram))
            for histogram in statistics.histograms
        ],
        "transforms": [
            (name, transform, _chart(f"transform-{transform.count}-{index}", 4.6, 2.2, draw_transform, name, transform))
            for index, (name, transform) in enumerate(transforms.items())
        ],
        "triangle": triangle,
        "preview": embed_preview(inspection.pixels),
    }


def _chart(name: str, width: float, height: float, draw: Callable[..., None], *arguments: Any) -> str:
    """A chart of a size in inches as an element of the page."""
    from matplotlib.figure import Figure

    with drawing(axes_titlecolor=INK):
        figure = Figure((width, height), layout="constrained")
        draw(figure.add_subplot(), *arguments)
        return svg_element(figure, name)


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
    """Pictures of the maps, and values, for template and script."""
    names = inspection.statistics.shares.names
    kinds = {"weights": maps.weight_shares, "responsibilities": maps.responsibility_shares}
    found = []
    for one in heat_maps(maps, names):
        colours = {kind: heat_colours(values, one.highest, one.scale) for kind, values in one.values.items()}
        is_share = one.key.startswith("share")
        factor, unit, decimals = (100, " %", 0) if is_share else (1, " bpp" if one.key == "bits" else "", 2)
        ticks = [fixed(step * factor * one.highest, decimals) for step in np.linspace(0, 1, 5).tolist()]
        ticks[-1] = f"≥ {ticks[-1]}{unit}"
        sources = {kind: embed_lossless(pixels) for kind, pixels in colours.items()}
        found.append({"key": one.key, "name": one.name, "sources": sources, "ramp": ramp(one.scale), "ticks": ticks})
    if len(names) > 1:
        mixtures = {kind: embed_lossless(mixed_colours(shares)) for kind, shares in kinds.items()}
        found.insert(1, {"key": "mixture", "name": "Mixture", "sources": mixtures})
    values = {kind: [embed_values(share) for share in np.moveaxis(shares, 2, 0)] for kind, shares in kinds.items()}
    return {
        "width": inspection.width,
        "height": inspection.height,
        "stride": maps.stride,
        "rows": maps.bits.shape[0],
        "columns": maps.bits.shape[1],
        "names": list(names),
        "maps": found,
        "first": "mixture" if len(names) > 1 else "bits",
        "bits": embed_values(maps.bits),
        "deviation": embed_values(maps.standard_deviation),
        **values,
    }
