"""Pages: HTML files that load nothing, from a template, a style and scripts beside the code."""

import json
from importlib import resources
from typing import Any

PAGE_MAXIMUM_BYTES = 8_000_000


def render(package: str, name: str, **values: Any) -> bytes:
    """A template of a package's folder ``page_files`` with values in it, whatever names are in them."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(page_file(package, name)).render(**values).encode()


def page_file(package: str, name: str) -> str:
    """Text of a file of ``page_files``."""
    return resources.files(package).joinpath("page_files", name).read_text(encoding="utf-8").strip()


def script_json(value: Any) -> str:
    """JSON that may stand in a script element, whatever names are in it.

    >>> script_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
