"""A tiny model, pictures, and a way to run the command line in this process."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command, Outcome
from PIL import Image

from tiny_models import tiny_frozen
from trimix.bitstream import Metadata
from trimix.cli import main
from trimix.frozen.storage import save_frozen


@pytest.fixture(scope="session")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    model = tiny_frozen()
    description = {"parameters": "12345", "training data": "noise"}
    model = replace(model, identity=replace(model.identity, name=MODEL_NAME, description=description))
    save_frozen(model, folder / f"{MODEL_NAME}.safetensors")
    return folder


@pytest.fixture(autouse=True)
def _installed_models(models_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMIX_MODELS", str(models_folder))
    monkeypatch.delenv("TRIMIX_DEBUG", raising=False)


@pytest.fixture
def trimix(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``trimix`` with arguments, in this process."""

    def run(*arguments: object, standard_input: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(standard_input)))
        capsysbinary.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsysbinary.readouterr()
        return Outcome(code, captured.out, captured.err.decode())

    return run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A PNG of 70 x 50 pixels."""
    path = tmp_path / "photo.png"
    random = np.random.default_rng(1)
    Image.fromarray(random.integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture(scope="session")
def compressed_bytes(models_folder: Path) -> bytes:
    from trimix.codec import Codec
    from trimix.images import Picture

    codec = Codec.load(models_folder / f"{MODEL_NAME}.safetensors")
    pixels = np.random.default_rng(2).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    return codec.encode(Picture(pixels, metadata=Metadata(icc_profile=b"profile" * 50)), 50)


@pytest.fixture
def compressed(tmp_path: Path, compressed_bytes: bytes) -> Path:
    """A ``.tmix`` file of 70 x 50 pixels."""
    path = tmp_path / "small.tmix"
    path.write_bytes(compressed_bytes)
    return path
