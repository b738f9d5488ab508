"""The page about the regularizer runs as it stands."""

import importlib.util
import re
import tomllib
import warnings
from pathlib import Path

import pytest

from trimix.training.config import RegularizerConfig

PAGE = (Path(__file__).parents[2] / "docs" / "regularizer.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_recipe_is_one():
    (text,) = blocks("toml")
    RegularizerConfig.model_validate(tomllib.loads(text)["regularizer"])


def test_every_key_is_told():
    assert all(f"`{name}`" in PAGE for name in RegularizerConfig.model_fields)


@pytest.mark.skipif(importlib.util.find_spec("compressai") is None, reason="needs CompressAI")
def test_the_loop_around_a_compressai_model_runs(capsys):
    (program,) = blocks("python")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(program, "regularizer.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("rho 0.030  H ") for line in lines)
