import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import trimix.coding
from trimix.coding import compilation

SOURCE = Path(trimix.coding.__file__).parents[1]

ONE_SYMBOL = """
import numpy as np
from trimix.coding import MixtureParameters, RangeDecoder, compilation, kernels
print(compilation._is_ready(kernels.decode_mixture), len(kernels.decode_mixture.signatures))
one = np.ones((1, 1), np.int32)
parameters = MixtureParameters(np.zeros(1, np.uint8), one * 65536, one, np.ones((1, 1), np.uint8))
print(RangeDecoder(b"\\x80").decode_mixture(parameters).tolist(), kernels.decode_mixture.stats.cache_path)
"""


def run(folder, code=ONE_SYMBOL, **environment):
    variables = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    variables |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(
        command, env=variables | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture
def installation(tmp_path):
    """A copy of what the coder needs, without machine code of either kind."""
    package = tmp_path / "installed" / "trimix"
    package.mkdir(parents=True)
    shutil.copytree(SOURCE / "coding", package / "coding", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(SOURCE / "errors.py", package)
    (package / "__init__.py").touch()
    return package.parent


@pytest.mark.slow
def test_it_works_where_no_directory_can_be_written(installation):
    # Files stand where cache directories should be made: that fails for the superuser too.
    (installation / "trimix" / "coding" / "__pycache__").touch()
    nowhere = str(installation / "trimix" / "errors.py")
    assert run(installation, HOME=nowhere, XDG_CACHE_HOME=nowhere, LOCALAPPDATA=nowhere) == ["False 0", "[0] None"]


@pytest.mark.slow
def test_a_second_process_finds_the_machine_code_and_a_changed_source_does_not(installation):
    folder = installation / "trimix" / "coding"
    assert run(installation) == ["False 0", f"[0] {folder / '__pycache__'}"]
    assert run(installation)[0] == "True 0"
    with (folder / "kernels.py").open("a") as source:
        source.write("# changed\n")
    code = ONE_SYMBOL.rsplit("print", 1)[0]
    assert run(installation, code=code) == ["False 0"]


def test_after_use_the_coder_is_ready(monkeypatch):
    used = [kernel for kernel in compilation._dispatchers if kernel.signatures]
    monkeypatch.setattr(compilation, "_dispatchers", used)
    assert trimix.coding.compilation_is_cached()
