import contextlib
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import MODEL_NAME, Command, process_environment
from PIL import Image

from trimix import __version__, errors
from trimix.cli import main
from trimix.cli.failures import _OPTIONS
from trimix.cli.options import PICTURE_FORMATS

COMMANDS = (
    "compress",
    "decompress",
    "info",
    "view",
    "inspect",
    "models",
    "evaluate",
    "bd-rate",
    "report",
    "train",
    "freeze",
    "export",
    "import-compressai",
)
application = importlib.import_module("trimix.cli.application")


def test_help_names_every_command(trimix: Command) -> None:
    outcome = trimix("--help")
    assert outcome.code == 0
    assert outcome.error == ""
    assert all(command in outcome.text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(trimix: Command, command: str) -> None:
    outcome = trimix(command, "-h")
    assert outcome.code == 0
    assert f"Example: trimix {command}" in outcome.text


def test_version(trimix: Command) -> None:
    outcome = trimix("--version")
    assert (outcome.code, outcome.text) == (0, f"trimix {__version__}\n")


@pytest.mark.parametrize("arguments", [(), ("compress",), ("info",), ("freeze",), ("bd-rate",), ("report",)])
def test_no_arguments_show_the_help(trimix: Command, arguments: tuple[str, ...]) -> None:
    outcome = trimix(*arguments)
    assert outcome.code == 2
    assert "Usage: trimix" in outcome.text
    assert outcome.error == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("compres", "a.png"), "no such command 'compres'"),
        (("info", "a.tmix", "--jsn"), "--jsn"),
        (("inspect", "a.tmix", "b.tmix"), "unexpected extra argument"),
        (("compress", "a.png", "--quality", "high"), "--quality"),
        (("compress", "a.png", "--device", "tpu"), "--device"),
        (("compress", "a.png", "--threads", "0"), "--threads"),
        (("compress", "a.png", "--max-pixels", "-5"), "--max-pixels"),
        (("freeze", "last.ckpt"), "missing option"),
    ],
)
def test_wrong_usage_is_one_line(trimix: Command, arguments: tuple[str, ...], expected: str) -> None:
    outcome = trimix(*arguments)
    assert outcome.code == 2
    assert outcome.output == b""
    assert outcome.line.startswith("trimix: error: ")
    assert expected in outcome.line
    assert "--help'" in outcome.line


@pytest.mark.parametrize("count", ["0", "1025", "999999", "9" * 20])
@pytest.mark.parametrize("command", COMMANDS)
def test_threads_are_within_what_can_be_started(trimix: Command, command: str, count: str) -> None:
    outcome = trimix(command, "--threads", count)
    assert outcome.code == 2
    if "--threads" in trimix(command, "-h").text:
        assert outcome.line.startswith("trimix: error: invalid value for '--threads'")


def test_light_commands_import_nothing_heavy(tmp_path: Path, compressed_bytes: bytes) -> None:
    (tmp_path / "a.tmix").write_bytes(compressed_bytes)
    (tmp_path / "a.png").write_bytes(b"no picture")
    script = """
import sys
from trimix.cli import main
expected = {
    ("--help",): 0, ("--version",): 0, ("compress", "--help"): 0, ("train", "--help"): 0, ("info", "a.tmix"): 0,
    ("models",): 0, ("models", "--json"): 0, ("compress", "a.png", "-q", "0"): 2, ("compress", "b.png"): 3,
    ("compress", "a.png", "-o", "b.tmix", "--model", "nothing"): 5, ("decompress", "a.png"): 4,
}
for arguments, code in expected.items():
    assert main(list(arguments)) == code, arguments
heavy = {"torch", "numpy", "numba", "PIL", "safetensors"} & set(sys.modules)
assert not heavy, heavy
"""
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=process_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    "error", [getattr(errors, name) for name in dir(errors) if name.endswith("Error")], ids=lambda e: e.__name__
)
def test_own_errors_give_their_exit_code(
    trimix: Command, monkeypatch: pytest.MonkeyPatch, error: type[errors.TrimixError]
) -> None:
    outcome = _run_raising(trimix, monkeypatch, error("something must hold,\nfound \x1b[2Jnot"))
    assert outcome.code == error.exit_code
    options = _OPTIONS.get(error)
    told = f" ({options})" if options else ""
    assert outcome.line == f"trimix: error: something must hold, found ?[2Jnot{told}"


def test_an_interrupt_that_a_library_swallows_still_ends_it(trimix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_imported(**_: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise AttributeError("module 'numpy' has no attribute 'iterable'")

    monkeypatch.setattr(application, "app", half_imported)
    outcome = trimix("models")
    assert (outcome.code, outcome.error) == (130, "")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert trimix("--version").code == 0


def test_an_interrupt_before_the_first_import_is_quiet(trimix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "run", lambda _: signal.raise_signal(signal.SIGINT))
    outcome = trimix("--version")
    assert (outcome.code, outcome.error) == (130, "")


def _run_raising(trimix: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException):
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(application, "app", fail)
    return trimix("models")


def test_unexpected_errors_are_one_line(trimix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = _run_raising(trimix, monkeypatch, ZeroDivisionError("division by zero"))
    assert outcome.code == 1
    assert outcome.line == (
        "trimix: error: unexpected ZeroDivisionError: division by zero; "
        "set TRIMIX_DEBUG=1 for the traceback, and report it"
    )


def test_debug_shows_the_traceback(trimix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMIX_DEBUG", "1")
    outcome = _run_raising(trimix, monkeypatch, errors.ModelError("damaged"))
    assert outcome.code == 5
    assert "Traceback" in outcome.error
    assert outcome.error.endswith("trimix: error: damaged\n")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_lack_of_memory_is_one_line(trimix: Command, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    outcome = _run_raising(trimix, monkeypatch, error)
    assert outcome.code == 1
    assert "memory is not enough" in outcome.line


def test_interrupts_and_broken_pipes_are_quiet(trimix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, code in ((KeyboardInterrupt(), 130), (BrokenPipeError(), 141)):
        outcome = _run_raising(trimix, monkeypatch, error)
        assert (outcome.code, outcome.error) == (code, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_standard_output_is_reported() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        finished = subprocess.run(
            [sys.executable, "-m", "trimix", "models"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=process_environment(),
            text=True,
            check=False,
        )
    assert finished.returncode == 6
    assert finished.stderr.startswith("trimix: error: standard output cannot be written")
    assert finished.stderr.count("\n") == 1


def test_reader_that_has_gone_ends_it_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "trimix", "models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=process_environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 141


def test_constants_known_without_torch_agree_with_the_library() -> None:
    from trimix.images import OUTPUT_FORMATS

    assert tuple(OUTPUT_FORMATS) == PICTURE_FORMATS


def test_main_is_the_entry_point() -> None:
    import trimix.cli

    assert trimix.cli.main is main


@pytest.mark.skipif(os.name == "nt", reason="signals and streams of POSIX")
def test_closed_standard_streams_are_no_accident(tmp_path: Path, compressed_bytes: bytes) -> None:
    (tmp_path / "a.tmix").write_bytes(compressed_bytes)
    for redirection, code, expected in (
        ("<&-", 0, b""),
        ("2>&-", 0, b""),
        (">&-", 6, b"standard output cannot be written (Bad file descriptor)"),
        (">&- 2>&- <&-", 6, b""),
    ):
        finished = subprocess.run(
            ["sh", "-c", f'"{sys.executable}" -m trimix info a.tmix {redirection}'],
            cwd=tmp_path,
            env=process_environment(),
            capture_output=True,
            check=False,
        )
        assert finished.returncode == code, finished
        assert expected in finished.stderr
        assert b"Traceback" not in finished.stderr
    assert (tmp_path / "a.tmix").read_bytes() == compressed_bytes


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_no_part_of_a_file(
    trimix: Command, picture: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: os.kill(os.getpid(), number))
    before = signal.signal(number, signal.SIG_DFL)  # under nohup one is ignored, and stays so
    try:
        outcome = trimix("compress", picture, "--model", MODEL_NAME)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert outcome.code == 128 + number
    assert [path.name for path in picture.parent.iterdir()] == ["photo.png"]


def test_names_and_notes_cannot_steer_a_terminal(trimix: Command, tmp_path: Path) -> None:
    name = "a  b\x1b[2Jc.png"
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / name)
    for arguments in ((tmp_path / name,), (tmp_path, "-f")):
        outcome = trimix("compress", *arguments, "--model", MODEL_NAME)
        assert outcome.code == 0
        assert "a  b?[2Jc.png" in outcome.error
        assert "\x1b" not in outcome.error
    outcome = trimix("info", (tmp_path / name).with_suffix(".tmix"))
    assert "a  b?[2Jc.tmix" in outcome.text
