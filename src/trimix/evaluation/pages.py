"""Pages: HTML files that load nothing, from templates, styles and scripts in ``page_files``, with pictures in them."""

import base64
import gzip
import json
from importlib import resources
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, features

import trimix
from trimix.shapes import Float, UInt8

PAGE_MAXIMUM_BYTES = 8_000_000
_HIGHEST_VALUE = 65535


def render(template: str, styles: list[str], scripts: list[str], **values: Any) -> bytes:
    """A template with values in it, whatever names are in them."""
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    loader = DictLoader({name: _page_file(name) for name in ("base.html", template)})
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader
    )
    program = "\n".join(_page_file(name) for name in scripts)
    texts = {"style": "\n".join(map(_page_file, styles)), "script": f"(() => {{\n{program}\n}})();"}
    common = {"version": trimix.__version__, "grouped": grouped, "fixed": fixed, "percent": percent}
    page = environment.get_template(template)
    return page.render(**common, **{name: Markup(text) for name, text in texts.items()}, **values).encode()


def _page_file(name: str) -> str:
    return resources.files("trimix.evaluation").joinpath("page_files", name).read_text(encoding="utf-8").strip()


def script_json(value: Any) -> Any:
    """JSON that may stand in a script element, whatever names are in it.

    >>> str(script_json("</script>"))
    '"\\\\u003c/script\\\\u003e"'
    """
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def embed_lossless(pixels: UInt8[np.ndarray, "H W C"], icc_profile: bytes = b"") -> str:
    """The address of an image that is the picture: WebP without loss or PNG, whichever is smaller."""
    profile: dict[str, Any] = {"icc_profile": icc_profile} if icc_profile else {}
    found = [_address(pixels, "PNG", **profile)]
    if features.check("webp"):
        found.append(_address(pixels, "WEBP", lossless=True, quality=80, method=4, **profile))
    return min(found, key=len)


def estimate_lossless(pixels: UInt8[np.ndarray, "H W C"]) -> int:
    """About the length of `embed_lossless`, rather more, in a tenth of its time."""
    options: dict[str, Any] = {"lossless": True, "quality": 0, "method": 0}
    return len(_address(pixels, "WEBP", **options) if features.check("webp") else _address(pixels, "PNG"))


def embed_preview(pixels: UInt8[np.ndarray, "H W C"], longest_side: int = 1024) -> str:
    """The address of an image to recognize, not to judge: made smaller, and lossy."""
    return _address(pixels, "JPEG", longest_side, quality=80, optimize=True)


def embed_program(text: str) -> str:
    """A program as base64 of gzip; the same text gives the same characters."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def embed_values(values: Float[np.ndarray, "h w"]) -> dict[str, Any]:
    """Values from 0 as base64 of 16 bits each, and the step between neighbours."""
    step = max(float(values.max()), 1e-6) / _HIGHEST_VALUE
    return {"values": base64.b64encode(np.round(values / step).astype("<u2").tobytes()).decode(), "step": step}


def _address(
    pixels: UInt8[np.ndarray, "H W C"], pillow_format: str, longest_side: int | None = None, **options: Any
) -> str:
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    if longest_side is not None:
        image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, pillow_format, **options)
    return f"data:image/{pillow_format.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def grouped(value: float) -> str:
    """A whole number in groups of three digits.

    >>> grouped(-1234567.8).replace(chr(0x202F), " ")
    '−1 234 568'
    """
    return f"{round(value):,}".replace(",", "\u202f").replace("-", "−")


def fixed(value: float, decimals: int) -> str:
    """A number with so many decimals; never a zero below zero.

    >>> fixed(-0.00001, 4)
    '0.0000'
    """
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def percent(share: float, decimals: int = 0) -> str:
    """A share in percent.

    >>> percent(0.1234).replace(chr(0xA0), " ")
    '12 %'
    """
    return f"{fixed(100 * share, decimals)}\u00a0%"
