import re
import sys

import pytest

from trimix.training import display
from trimix.training.display import Display, Left, Reading

READING = Reading("all", 7, 0.25, 31.5, 1.125)


@pytest.fixture
def clock(monkeypatch):
    """The time, to be set."""
    now = [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_there_is_a_line_of_the_first_step_and_every_half_minute(clock, capsys):
    shown = Display(done=4, total=104)
    with shown.showing():
        for second in range(1, 100):
            clock[0] = float(second)
            if shown.is_due():
                shown.show(READING, done=4 + second)
        shown.tell("a word")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "all step 7  0.250 bpp  31.50 dB  loss 1.125  1.00 steps/s  ETA 0:01:39",
        "all step 7  0.250 bpp  31.50 dB  loss 1.125  1.00 steps/s  ETA 0:01:09",
        "all step 7  0.250 bpp  31.50 dB  loss 1.125  1.00 steps/s  ETA 0:00:39",
        "all step 7  0.250 bpp  31.50 dB  loss 1.125  1.00 steps/s  ETA 0:00:09",
        "a word",
    ]


def test_the_pace_is_that_of_late(clock, capsys):
    shown = Display(done=0, total=1000)
    for second in range(30, 301, 30):
        clock[0] = float(second)
        shown.show(READING, done=second if second <= 150 else 150 + 2 * (second - 150))
    assert capsys.readouterr().err.splitlines()[-1].endswith("2.00 steps/s  ETA 0:04:35")


def test_a_terminal_has_a_bar_at_once(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    shown = Display(done=0, total=1_000_000)
    with shown.showing():
        before = capsys.readouterr().err
        assert shown.is_due()
        shown.show(READING, done=1)
        assert not shown.is_due()
        shown.tell("a word [not markup]")
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "0/1000000" in before
    assert "a word [not markup]" in after
    assert all(
        text in after for text in ("all step 7", "0.250 bpp", "31.50 dB", "1/1000000", "steps/s", "ETA")
    )
    # At least a tenth of the line is a bar while there are numbers.
    assert "━" * 8 in after[after.index("steps/s") - 60 :]


def test_what_is_left_may_be_steps_and_minutes_and_is_no_more_than_the_limit(clock, capsys):
    shown = Display(done=0, total=None)
    for second, left in (
        (10, Left(0, 75.0)),
        (20, Left(30, 75.0)),
        (30, Left(30, 75.0, most_seconds=60.0)),
    ):
        clock[0] = float(second)
        shown.show(READING, done=second, left=left)
    endings = [line.split("ETA ")[1] for line in capsys.readouterr().err.splitlines()]
    assert endings == ["0:01:15", "0:01:45", "0:01:00"]


def test_a_terminal_has_a_bar_of_time_where_there_is_no_number_of_steps(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    shown = Display(done=7, total=None)
    with shown.showing():
        shown.show(READING, done=8, left=Left(0, 90.0))
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert all(text in after for text in ("all step 7", "0:00:00", "ETA 0:01:30"))
    assert "None" not in after


def test_other_processes_are_silent(clock, capsys):
    shown = Display(0, 10, silent=True)
    with shown.showing():
        clock[0] = 1000.0
        assert not shown.is_due()
        shown.tell("a word")
    assert capsys.readouterr().err == ""
