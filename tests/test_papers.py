"""docs/papers.md points at code and tests that exist, name by name. Files are parsed, none is imported."""

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "papers.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s]*)\)")
CODE = re.compile(r"`([\w-]+\.py):(\w+(?:\.\w+)*)`")
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")
COLUMNS = ["statement", "code", "test", "remark"]


def defined_in(body, prefix=""):
    """Names of functions, classes with what is in them, and constants, as ``Class.method``."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from defined_in(node.body, f"{prefix}{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


@lru_cache
def names_in(path):
    return frozenset(defined_in(ast.parse(path.read_text(encoding="utf-8")).body))


def problem_of(text, target):
    """What is wrong with a link of the page; empty where nothing is."""
    path = (PAGE.parent / target.partition("#")[0]).resolve()
    if not path.is_relative_to(ROOT) or not path.exists():
        return f"{target}: no such file"
    named = TEST.fullmatch(text) or CODE.fullmatch(text)
    if path.suffix != ".py":
        return f"{text}: {target} holds no such names" if named else ""
    if not named:
        return f"{text}: a link to {target} must read `file.py:name` or `test_file.py::test_name`"
    if path.name != named[1]:
        return f"{text}: the link leads to {target}"
    if ("::" in text) != path.is_relative_to(ROOT / "tests"):
        return f"{text}: a test is written with ::, code with :"
    return "" if named[2] in names_in(path) else f"{text}: {target} has no {named[2]}"


def links(text=TEXT):
    return [(text, target) for text, target in LINK.findall(text) if not re.match(r"[a-z]+:|#", target)]


def rows():
    """Cells of every row of the tables of statements."""
    inside = False
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells == COLUMNS:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(line) - set("|- "):
            yield line, cells


def test_every_link_leads_to_what_it_names():
    problems = [problem for problem in (problem_of(*link) for link in links()) if problem]
    assert not problems, "\n".join(problems)


def test_no_name_is_without_its_link():
    unlinked = LINK.sub("", TEXT)
    assert not CODE.findall(unlinked)
    assert not TEST.findall(unlinked)


def test_every_statement_says_where_it_stands_and_what_holds_it():
    found = list(rows())
    assert len(found) >= 40
    for line, cells in found:
        assert len(cells) == len(COLUMNS), line
        statement, code, test, _ = cells
        assert statement, line
        assert CODE.search(code), line
        assert TEST.search(test), line
        assert not TEST.search(code), line
        assert not CODE.search(test), line


def test_what_is_not_built_links_to_nothing():
    lines = [line for line in TEXT.splitlines() if "not built yet" in line]
    assert lines
    assert not [line for line in lines if LINK.search(line) or line.startswith("|")]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("`gdn.py:Nonsense`", "../src/trimix/layers/gdn.py"),
        ("`gdn.py:GeneralizedDivisiveNormalization.nonsense`", "../src/trimix/layers/gdn.py"),
        ("`gdn.py:PEDESTAL`", "../src/trimix/layers/residual.py"),
        ("`gdn.py:PEDESTAL`", "../src/trimix/layers/nonsense.py"),
        ("`gdn.py:PEDESTAL`", "../../gdn.py"),
        ("`gdn.py:PEDESTAL`", "format.md"),
        ("GDN", "../src/trimix/layers/gdn.py"),
        ("`test_gdn.py::test_nonsense`", "../tests/layers/test_gdn.py"),
        ("`test_gdn.py:test_gradcheck`", "../tests/layers/test_gdn.py"),
    ],
)
def test_a_wrong_link_is_noticed(text, target):
    assert problem_of(text, target)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("`gdn.py:PEDESTAL`", "../src/trimix/layers/gdn.py"),
        ("`gdn.py:GeneralizedDivisiveNormalization.forward`", "../src/trimix/layers/gdn.py"),
        ("`config.py:GllmmConfig.two_level`", "../src/trimix/architectures/config.py"),
        ("`test_gdn.py::test_gradcheck`", "../tests/layers/test_gdn.py"),
        ("the format", "format.md"),
    ],
)
def test_a_right_link_is_taken(text, target):
    assert problem_of(text, target) == ""
