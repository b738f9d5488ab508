import tempfile
from pathlib import Path

import pytest
import typer
from command_line import Command
from PIL import Image


def test_the_picture_goes_to_the_system_s_viewer(
    trimix: Command, compressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shown, answer = [], [0, 1]

    def launch(url: str) -> int:
        with Image.open(url) as image:
            shown.append((image.size, Path(url).name))
        return answer[len(shown) - 1]

    monkeypatch.setattr(typer, "launch", launch)
    assert trimix("view", compressed).code == 0
    assert shown == [((70, 50), "small.png")]
    outcome = trimix("view", compressed)
    assert outcome.code == 6
    assert "the system must have a viewer of pictures, found none" in outcome.line
