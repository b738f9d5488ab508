"""A bar on a terminal, a line now and then elsewhere."""

import re
import sys

import pytest

from trimix import progress
from trimix.progress import ProgressDisplay, showing_progress

TEXT = "all step 7  0.250 bpp"


@pytest.fixture
def clock(monkeypatch):
    """The time, to be set."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


def test_without_a_terminal_there_is_a_line_of_the_first_step_and_every_half_minute(clock, capsys):
    with showing_progress(done=4, total=104, at_once=True) as shown:
        for second in range(1, 100):
            clock[0] = float(second)
            if shown.is_due():
                shown.show(TEXT, 4 + second, 104, unit="steps")
        shown.say("a word")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"{TEXT}  1.00 steps/s  ETA 0:01:39",
        f"{TEXT}  1.00 steps/s  ETA 0:01:09",
        f"{TEXT}  1.00 steps/s  ETA 0:00:39",
        f"{TEXT}  1.00 steps/s  ETA 0:00:09",
        "a word",
    ]


def test_what_is_quick_has_no_lines_but_those_that_are_always_printed(clock, capsys):
    with showing_progress() as shown:
        for second in range(40):
            clock[0] = float(second)
            shown.show(f"{second} s", second, 100, always=second == 20)
    assert capsys.readouterr().err.splitlines() == ["20 s"]


def test_the_pace_is_that_of_late(clock, capsys):
    with showing_progress(total=1000) as shown:
        for second in range(30, 301, 30):
            clock[0] = float(second)
            shown.show(TEXT, second if second <= 150 else 150 + 2 * (second - 150), 1000, unit="steps")
    assert capsys.readouterr().err.splitlines()[-1].endswith("2.00 steps/s  ETA 0:04:35")


def test_it_takes_no_longer_than_the_limit(clock, capsys):
    with showing_progress(total=1000) as shown:
        clock[0] = 30.0
        shown.show(TEXT, 30, 1000, unit="steps", most_seconds=60.0)
    assert capsys.readouterr().err.splitlines()[-1].endswith("1.00 steps/s  ETA 0:01:00")


def test_a_terminal_has_a_bar_at_once(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    with showing_progress("the first", total=1_000_000) as shown:
        before = capsys.readouterr().err
        assert shown.is_due()
        shown.show(TEXT, 1, 1_000_000, unit="steps")
        assert not shown.is_due()
        shown.say("a word [not markup]")
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "0/1000000" in before
    assert "a word [not markup]" in after
    assert all(text in after for text in (TEXT, "1/1000000", "steps/s", "ETA"))
    # At least a tenth of the line is a bar while there are numbers.
    assert "━" * 8 in after[after.index("steps/s") - 60 :]


def test_a_total_that_is_not_known_is_not_shown(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    with showing_progress() as shown:
        shown.show(TEXT, 8)
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert TEXT in after
    assert not any(text in after for text in ("None", "ETA", "8/"))


def test_other_processes_are_silent(clock, capsys):
    for shown in (ProgressDisplay(silent=True),):
        clock[0] = 1000.0
        assert not shown.is_due()
        shown.show(TEXT, always=True)
        shown.say("a word")
    assert capsys.readouterr().err == ""
