"""A plan pairs what is compared, and runs the recipes of configs/."""

import pytest

from trimix.errors import ConfigurationError
from trimix.reproduction.plan import BUDGETS, PLAIN, START, read_budget

budgets = pytest.mark.parametrize("budget", [read_budget(key) for key in BUDGETS], ids=BUDGETS)


@budgets
def test_every_variant_differs_from_its_plain_run_by_the_regularizer_alone(budget):
    runs = {run.key: run for run in budget.runs}
    assert len(runs) == len(budget.runs)
    for run in runs.values():
        if run.variant.key in (PLAIN, START):
            assert "regularizer" not in run.training
            continue
        pair = runs[run.key.replace(run.variant.key, PLAIN)]
        training = dict(run.training)
        assert training.pop("regularizer")
        assert training == pair.training
        assert (run.seed, run.starts_from) == (pair.seed, pair.starts_from)


@budgets
def test_starts_come_before_what_begins_with_them(budget):
    seen = set()
    for run in budget.runs:
        if run.starts_from is not None:
            assert run.starts_from.key in seen
            assert run.starts_from.seed == run.seed
        seen.add(run.key)
    assert sum(run.variant.key == START for run in budget.runs) == (2 if budget.key == "small" else 0)


@budgets
def test_four_trade_offs_for_every_variant_and_seed(budget):
    for variant in budget.variants:
        found = [run for run in budget.runs if run.variant == variant]
        for seed in {run.seed for run in found}:
            trade_offs = [run.rate_distortion_lambda for run in found if run.seed == seed]
            assert trade_offs == [0.0018, 0.0035, 0.0067, 0.013]


@budgets
def test_runs_are_valid_and_measured_in_equal_parts(budget):
    for run in budget.runs:
        config = run.configuration({"training": ["pictures"]})
        assert config.seed == run.seed
        assert config.model.rate_distortion_lambda == run.rate_distortion_lambda
        if run.variant.key != START:
            assert len({phase.steps for phase in config.phases}) == 1


def test_a_missing_plan_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"regularizer-small\.toml: must be a plan of runs"):
        read_budget("small", tmp_path)
