"""The project holds together: versions, exports, links, examples, and what importing costs."""

import ast
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import trimix
from trimix import errors
from trimix.frozen.catalogue import entries

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TEXT_SUFFIXES = {".md", ".py", ".toml", ".txt", ".json", ".yml", ".yaml", ""}
SKIPPED_FOLDERS = {".git", ".venv", "runs", "demo-output", "build", "dist", "node_modules"}


def identity(value):
    return str(getattr(value, "relative_to", lambda _: value)(ROOT))


def run_python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")} | environment,
        check=True,
        cwd=ROOT,
    ).stdout


def texts():
    """Every text file of the project, without environments and what tools leave behind."""
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part not in (".ci", ".github") for part in parts[:-1])
        if hidden or SKIPPED_FOLDERS & set(parts) or not path.is_file() or path.suffix not in TEXT_SUFFIXES:
            continue
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def anchors(page):
    """The targets that headings of a page make, as GitHub names them."""
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_one_version():
    version = PROJECT["project"]["version"]
    assert trimix.__version__ == version
    assert run_python("-m", "trimix", "--version").split()[-1] == version
    assert version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    try:
        installed = importlib.metadata.version("trimix")
    except importlib.metadata.PackageNotFoundError:
        return
    assert installed == version


def test_exports():
    assert trimix.__all__ == sorted(trimix.__all__)
    for name in trimix.__all__:
        assert getattr(trimix, name) is not None
        assert name in dir(trimix)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = trimix.nonsense


def test_every_error_has_one_root_and_an_exit_code():
    members = inspect.getmembers(errors, inspect.isclass)
    classes = [value for _, value in members if value.__module__ == errors.__name__]
    assert all(issubclass(value, errors.TrimixError) for value in classes)
    assert {value.exit_code for value in classes} == set(range(1, 9))


def test_errors_of_the_library_name_no_options_of_the_command_line():
    package = ROOT / "src" / "trimix"
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] in ("cli", "cli.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            texts = [
                one.value
                for one in (ast.walk(node) if isinstance(node, ast.Raise) else ())
                if isinstance(one, ast.Constant) and isinstance(one.value, str)
            ]
            assert not re.search(r"(^|[\s(])(--[a-z]|-[oq]\b)", " ".join(texts)), f"{path}:{node.lineno}: {texts}"


def floors_of_contracts():
    """Rooms by floor, from the bottom, as import-linter has them."""
    (layers,) = [one["layers"] for one in PROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers"]
    return [set(re.findall(r"\w+", layer)) - {"__main__"} for layer in reversed(layers)]


def floors_of_map():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text[text.index("| floor |") :].split("\n\n")[0]
    floors: dict[int, set[str]] = {}
    for number, rooms in re.findall(r"^\| *(\d*) *\|([^|]*`[^|]*)\|", table, re.MULTILINE):
        floor = int(number) if number else floor
        floors.setdefault(floor, set()).update(re.findall(r"`(\w+)[/.]", rooms))
    return [floors[number] for number in sorted(floors)]


def test_the_map_has_the_floors_of_the_import_contracts():
    contracts = [floor for floor in floors_of_contracts() if floor]
    assert floors_of_map() == contracts
    package = ROOT / "src" / "trimix"
    rooms = {path.stem for path in package.iterdir() if not path.name.startswith("_") and path.suffix in ("", ".py")}
    assert set().union(*contracts) == rooms - {"weights", "py"}


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_relative_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        if anchor:
            assert anchor in set(anchors(path)), target


def test_files_that_packaging_names_exist():
    assert (ROOT / PROJECT["project"]["readme"]).is_file()
    for name in PROJECT["project"]["license-files"]:
        assert (ROOT / name).is_file()


def test_no_path_of_one_machine_in_any_file():
    # Spelled in parts, so that this file does not find itself.
    pattern = re.compile(r"(?<![\w.:/])/(" + "|".join(["home", "Users", "work", "root"]) + r")/\w")
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path, text in texts() for match in pattern.finditer(text)]
    assert not found


@pytest.mark.parametrize(
    "statement",
    [
        "import trimix",
        "import trimix.cli",
        "import trimix.bitstream",
        "import trimix.evaluation.bd_rate, trimix.evaluation.rate_points",
    ],
)
def test_what_must_start_fast_does_not_import_torch(statement):
    heavy = {"torch", "matplotlib", "scipy", "skimage"}
    loaded = run_python("-c", f"import sys; {statement}; print(*sys.modules)").split()
    assert not heavy & set(loaded)


@pytest.mark.parametrize("arguments", [["--help"], ["compress", "--help"], ["--version"], ["models"]])
def test_commands_that_compute_nothing_do_not_import_torch(arguments):
    script = f"import sys; from trimix.cli import main; main({arguments!r}); print('torch' in sys.modules)"
    assert run_python("-c", script).split()[-1] == "False"


@pytest.mark.parametrize(("effort", "heavy"), [("1", "torch"), ("2", "torch"), ("3", "torch._dynamo")])
def test_coding_a_picture_imports_no_torch_and_a_search_not_its_compiler(tmp_path, effort, heavy):
    # It takes longer than all the rest of a command.
    picture, file, back = (str(tmp_path / name) for name in ("a.png", "a.tmix", "b.png"))
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(picture)
    script = (
        "import sys; from trimix.cli import main\n"
        f"for line in (['compress', {picture!r}, '-o', {file!r}, '--effort', {effort!r}], "
        f"['info', {file!r}], ['decompress', {file!r}, '-o', {back!r}]):\n"
        "    assert not main(line), line\n"
        "print(*sorted({'torch._dynamo', 'sympy', 'onnx', HEAVY} & set(sys.modules)))"
    ).replace("HEAVY", repr(heavy))
    assert not run_python("-c", script).splitlines()[-1]


def test_coding_leaves_nothing_in_the_home_folder_and_sends_nothing(tmp_path, monkeypatch):
    # ONNX Runtime, left to itself, keeps a number of the machine there, and sends what it runs to its maker.
    home, picture = tmp_path / "home", tmp_path / "a.png"
    home.mkdir()
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(picture)
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kernels"))  # of an installation without a C compiler
    run_python("-c", f"import trimix; trimix.decompress(trimix.compress({str(picture)!r}))")
    assert not [*home.rglob("*")]


def examples():
    """The Python examples of the README, in order."""
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize("number", range(len(examples())))
def test_examples_of_the_readme_run(number, tmp_path, monkeypatch, capsys):
    if not any(entry.family == "gllmm-lite" for entry in entries()):
        pytest.skip("no weights of gllmm-lite are installed")
    rows, columns = np.mgrid[0:48, 0:80]
    pixels = np.stack([3 * columns, 5 * rows, rows + columns], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    exec(compile(examples()[number], f"README.md example {number}", "exec"), {"__name__": "example"})
    assert "bits" in capsys.readouterr().out


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    known = run_python("-m", "trimix", "--help")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    commands = "".join(block for language, block in blocks if not language)
    used = set(re.findall(r"^trimix (\w+)", commands, re.MULTILINE))
    assert {"compress", "decompress", "info", "models", "train", "freeze"} <= used
    assert all(re.search(rf"\b{command}\b", known) for command in used)


def test_the_makefile_lists_its_targets():
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "check", "bench", "format", "clean"):
        assert re.search(rf"make {target}\b", listed)


@pytest.mark.parametrize("path", sorted(ROOT.glob("configs/*.toml")), ids=identity)
def test_recipes_are_valid(path):
    from trimix.training.config import load_training_config

    assert load_training_config(path).phases
