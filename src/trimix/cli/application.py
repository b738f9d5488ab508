"""The application: its commands, and ``run``, which turns every failure into one line and an exit code."""

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from trimix import __version__
from trimix.cli.bd_rate import bd_rate
from trimix.cli.compress import compress
from trimix.cli.decompress import decompress
from trimix.cli.evaluate import evaluate
from trimix.cli.failures import INTERRUPTED, drop_standard_output, explain
from trimix.cli.freeze import freeze
from trimix.cli.import_compressai import import_compressai
from trimix.cli.info import info
from trimix.cli.inspect import inspect
from trimix.cli.integrate import integrate
from trimix.cli.interrupts import ending_on_signals, interrupt_was_seen, remembering_interrupts
from trimix.cli.models import models
from trimix.cli.report import report
from trimix.cli.reproduce import reproduce
from trimix.cli.train import train
from trimix.cli.view import view

app = typer.Typer(
    name="trimix",
    add_completion=False,
    no_args_is_help=True,
    # Failures are told by `explain`; Typer would install its own hook for tracebacks.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command, _panel, _example in (
    (compress, "Pictures", "trimix compress photo.png -q 60 -o photo.tmix; trimix compress photos/ -r -o compressed/"),
    (decompress, "Pictures", "trimix decompress photo.tmix -o photo.png; trimix decompress compressed/ -r -o decoded/"),
    (info, "Pictures", "trimix info photo.tmix"),
    (view, "Pictures", "trimix view photo.tmix"),
    (inspect, "Pictures", "trimix inspect photo.tmix -o photo.html"),
    (integrate, "Pictures", "trimix integrate --user"),
    (models, "Models", "trimix models gllmm-lite"),
    (evaluate, "Models", "trimix evaluate kodak --data-root data/ --quality 20,50,80 --peers default"),
    (bd_rate, "Models", "trimix bd-rate vtm results/kodak/gllmm-lite.json"),
    (report, "Models", "trimix report runs/evaluate/kodak -o report.html --picture photo.png"),
    (train, "Models", "trimix train run.toml --data pictures/ --data more.tar"),
    (freeze, "Models", "trimix freeze runs/run/last.ckpt -o mine-1.safetensors --name mine-1 --calibrate pictures/"),
    (import_compressai, "Models", "trimix import-compressai mbt2018-4.pth.tar -o mbt2018-4.safetensors"),
):
    app.command(rich_help_panel=_panel, no_args_is_help=_command is not models, epilog=f"Example: {_example}")(_command)
app.add_typer(reproduce, name="reproduce", rich_help_panel="Models")


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"trimix {__version__}")
        raise typer.Exit
    return wanted


@app.callback(
    epilog="Exit codes: 0 done, 2 wrong usage, 3 picture, 4 compressed file, 5 model, 6 output, 7 training, "
    "1 anything else. TRIMIX_MODELS names folders with further models; TRIMIX_DEBUG=1 shows tracebacks."
)
def trimix(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Compress pictures with learned models, look into the files, and train models of your own."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default with the arguments of the process, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A file name that the terminal's encoding lacks must not end the program.
            stream.reconfigure(errors="backslashreplace")
    try:
        with remembering_interrupts(), ending_on_signals():
            code = app(args=arguments, prog_name="trimix", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        return INTERRUPTED if interrupt_was_seen() else explain(error)
    except SystemExit as error:
        drop_standard_output()
        # Typer ends with 1 when the reader of standard output has gone.
        return explain(error.__context__) if isinstance(error.__context__, BrokenPipeError) else _code(error)
    return code if isinstance(code, int) else 0


def _code(error: SystemExit) -> int:
    return error.code if isinstance(error.code, int) else int(error.code is not None)
