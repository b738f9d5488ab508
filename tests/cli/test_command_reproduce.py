import sys
from pathlib import Path

import pytest
from command_line import Command

from trimix.cli import reproduce
from trimix.evaluation.data_sets import DATA_VARIABLE, Pictures
from trimix.reproduction import campaign, plan

sys.path.insert(0, str(Path(__file__).parents[1] / "reproduction"))
from reproduction_runs import TINY, InThisProcess, write_pictures


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    return tmp_path


@pytest.fixture
def pictures(folder):
    """Two pictures that go for Kodak and for training."""
    return write_pictures(folder / "pictures")


@pytest.fixture
def tiny(pictures, monkeypatch):
    """A budget of a few steps, trained in this process."""
    monkeypatch.setattr(plan, "read_budget", lambda table, key: TINY)
    monkeypatch.setattr(campaign, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(reproduce, "find_pictures", lambda data, roots=(), limit=None: Pictures("kodak", pictures))


def command(*more):
    return ("reproduce", "regularizer", "--budget", "small", "--data", "pictures", *more)


def test_a_plan_costs_nothing(trimix: Command, folder) -> None:
    outcome = trimix("reproduce", "regularizer", "--budget", "SMALL", "--plan", "--variant", "rho-0.1")
    assert outcome.code == 0, outcome
    lines = outcome.text.splitlines()
    assert lines[0].startswith("small: hyperprior of 32 and 48 channels")
    assert lines[2:4] == [
        "  hyperprior-0.0067-start-seed1  10000 steps",
        "  hyperprior-0.0018-rho-0.1-seed1  3000 steps",
    ]
    assert lines[-1] == "5 runs, 22000 steps"
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_runs_records_tables_and_figures(trimix: Command, tiny, pictures) -> None:
    outcome = trimix(*command("--variant", "plain", "--variant", "regularized", "--device", "cpu", "-o", "out"))
    assert outcome.code == 0, outcome
    records = sorted(path.name for path in Path("out").glob("*.json"))
    assert len(records) == 1 + 2 * 4
    assert "left out: pixel, no folder ood/pixel below a data root" in outcome.error
    assert "9/9 runs done" in outcome.error
    assert Path("out/tables.md").read_bytes() == outcome.output
    assert Path("out/hyperprior-by-steps.svg").exists()
    assert "## Regularized against plain, by set (Table 1)" in outcome.text
    again = trimix(*command("--variant", "plain", "-o", "out"))
    assert (again.code, again.output) == (0, outcome.output)
    assert "all 5 runs are complete" in again.error
    shown = trimix("reproduce", "regularizer", "--show", "out", "--budget", "small")
    assert (shown.code, shown.output) == (0, outcome.output)
    pictures[0].with_name("2.png").write_bytes(pictures[0].read_bytes())
    other = trimix(*command("--variant", "plain", "-o", "out"))
    assert other.code == 2
    assert other.error.splitlines()[-1].endswith(
        "must be of the same settings and pictures, found other pictures; give another -o"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "pictures"), "--budget must be given, found none; one of small, released, paper"),
        (("--budget", "small"), "--data must name training pictures, found none; give a folder or a tar"),
        (("--budget", "small", "--data", "nowhere"), "kodak: 24 pictures"),
        (("--budget", "small", "--variant", "strong"), "--variant must be one of plain, regularized, rho-0.1"),
        (("--budget", "small", "--architecture", "attention"), "the budget small has no runs of attention"),
        (("--show", "nowhere"), "nowhere: must be a folder with records of runs, found none"),
        (("--show", "."), ".: must hold records of runs, found none; train some first"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(trimix: Command, folder, arguments, message) -> None:
    outcome = trimix("reproduce", "regularizer", *arguments)
    assert outcome.code == 2
    assert outcome.line.startswith(f"trimix: error: {message}")
    assert list(folder.iterdir()) == []
