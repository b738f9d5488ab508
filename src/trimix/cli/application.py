"""The application: its commands, and ``run``, which turns every failure into one line and an exit code."""

import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from itertools import pairwise
from typing import Annotated, Any

import typer

from trimix import __version__
from trimix.cli.failures import INTERRUPTED, drop_standard_output, explain
from trimix.cli.interrupts import ending_on_signals, interrupt_was_seen, remembering_interrupts
from trimix.integrations import OWN_CLUSTER

_COMMANDS = {
    "compress": ("Pictures", "trimix compress photo.png -q 60; trimix compress photos/ -r -o compressed/"),
    "decompress": (
        "Pictures",
        "trimix decompress photo.tmix -o photo.png; trimix decompress compressed/ -r -o decoded/",
    ),
    "info": ("Pictures", "trimix info photo.tmix"),
    "view": ("Pictures", "trimix view photo.tmix"),
    "inspect": ("Pictures", "trimix inspect photo.tmix -o photo.html"),
    "models": ("Models", "trimix models gllmm-lite"),
    "evaluate": ("Models", "trimix evaluate kodak --data-root data/ --quality 20,50,80 --peers default"),
    "bd-rate": ("Models", "trimix bd-rate vtm results/kodak/gllmm-lite.json"),
    "report": ("Models", "trimix report runs/evaluate/kodak -o report.html --picture photo.png"),
    "train": ("Models", "trimix train run.toml --data pictures/ --data more.tar"),
    "freeze": ("Models", "trimix freeze runs/run/last.ckpt -o mine-1.safetensors --name mine-1 --calibrate pictures/"),
    "export": ("Models", "trimix export gllmm-lite-eye -o models/"),
    "import-compressai": ("Models", "trimix import-compressai mbt2018-4.pth.tar -o mbt2018-4.safetensors"),
    "reproduce": ("Models", None),
    "integrate": ("Installation", "trimix integrate --user"),
    "warm-up": ("Installation", "trimix warm-up"),
}
"""Panel of the help and example by name, which is the module's and the function's, too."""


def app(args: Sequence[str] | None, **settings: Any) -> object:
    """The command line, with the command that is asked for; with all of them where it is none of them."""
    args = sys.argv[1:] if args is None else args
    named = next(iter(args), "")
    return _application([named] if named in _COMMANDS else list(_COMMANDS))(args=_completed(args), **settings)


def _completed(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the value that ``--ray`` may be given without: Typer knows no such options.

    >>> _completed(["compress", "photos", "--ray", "-r"]), _completed(["compress", "photos", "--ray", "auto"])
    (['compress', 'photos', '--ray', 'local', '-r'], ['compress', 'photos', '--ray', 'auto'])
    """
    found: list[str] = []
    for argument, following in pairwise([*arguments, "-"]):
        found.append(argument)
        if argument == "--ray" and following.startswith("-"):
            found.append(OWN_CLUSTER)
    return found


def _application(names: Sequence[str]) -> typer.Typer:
    application = typer.Typer(
        name="trimix",
        add_completion=True,
        no_args_is_help=True,
        # Failures are told by `explain`; Typer would install its own hook for tracebacks.
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    epilog = (
        "Exit codes: 0 done, 2 wrong usage, 3 picture, 4 compressed file, 5 model, 6 output, 7 training, 8 time, "
        "1 anything else. TRIMIX_MODELS names folders with further models; TRIMIX_DEBUG=1 shows tracebacks."
    )
    application.callback(epilog=epilog)(trimix)
    for name in names:
        panel, example = _COMMANDS[name]
        function = name.replace("-", "_")
        command = getattr(import_module(f"trimix.cli.{function}"), function)
        if example is None:
            application.add_typer(command, name=name, rich_help_panel=panel)
            continue
        needs_arguments = name not in ("models", "warm-up")
        settings = {"no_args_is_help": needs_arguments, "epilog": f"Example: {example}"}
        application.command(name, rich_help_panel=panel, **settings)(command)
    return application


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"trimix {__version__}")
        raise typer.Exit
    return wanted


def trimix(
    version: Annotated[
        bool,
        typer.Option("-V", "--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
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
