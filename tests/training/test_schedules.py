import pytest

from trimix.training.config import PhaseConfig


def test_schedules_start_warm_up_and_end_where_they_say():
    for schedule in ("linear", "cosine"):
        phase = PhaseConfig(
            name="x", steps=110, warm_up_steps=10, learning_rate=1.0, learning_rate_final=0.2, schedule=schedule
        )
        rates = [phase.learning_rate_at(step) for step in range(111)]
        assert rates[0] == pytest.approx(0.1)
        assert rates[9] == rates[10] == pytest.approx(1.0)
        assert rates[60] == pytest.approx(0.6)
        assert rates[110] == pytest.approx(0.2)
        assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_constant_rate_stays():
    phase = PhaseConfig(name="x", steps=20, learning_rate=1e-3, warm_up_steps=4)
    assert {phase.learning_rate_at(step) for step in range(4, 20)} == {1e-3}
