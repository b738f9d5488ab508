"""A plan pairs what is compared, and runs the recipes of configs/."""

import pytest

from trimix.errors import ConfigurationError
from trimix.reproduction.plan import PLAIN, START, TABLES, read_budget

ALL = {(table, key): read_budget(table, key) for table, keys in TABLES.items() for key in keys}
budgets = pytest.mark.parametrize("budget", ALL.values(), ids=map("-".join, ALL))


@budgets
def test_every_variant_differs_from_its_plain_run_by_one_thing_alone(budget):
    runs = {run.key: run for run in budget.runs}
    assert len(runs) == len(budget.runs)
    for run in runs.values():
        if run.variant.key in (PLAIN, START):
            assert "regularizer" not in run.training
            continue
        pair = runs[run.key.replace(run.variant.key, PLAIN)]
        training, plain = dict(run.training), dict(pair.training)
        changed = "regularizer" if budget.table == "regularizer" else "model"
        assert training.pop(changed) != plain.pop(changed, None)
        assert training == plain
        assert (run.seed, run.starts_from) == (pair.seed, pair.starts_from)


@budgets
def test_starts_come_before_what_begins_with_them(budget):
    seen = set()
    for run in budget.runs:
        if run.starts_from is not None:
            assert run.starts_from.key in seen
            assert run.starts_from.seed == run.seed
        seen.add(run.key)
    starts = 2 if (budget.table, budget.key) == ("regularizer", "small") else 0
    assert sum(run.variant.key == START for run in budget.runs) == starts


@budgets
def test_four_points_for_every_variant_and_seed(budget):
    for variant in budget.variants:
        found = [run for run in budget.runs if run.variant == variant]
        for seed in {run.seed for run in found}:
            of_seed = [run for run in found if run.seed == seed]
            points = of_seed[0].qualities or [run.rate_distortion_lambda for run in of_seed]
            assert len(points) == 4
            assert list(points) == sorted(points)
            assert len(of_seed) == (1 if of_seed[0].qualities else 4)


@budgets
def test_runs_are_valid_and_measured_in_equal_parts(budget):
    for run in budget.runs:
        config = run.configuration({"training": ["pictures"]})
        assert config.seed == run.seed
        assert config.model.all_rates == bool(run.qualities)
        if not run.qualities:
            assert config.model.rate_distortion_lambda == run.rate_distortion_lambda
        if run.variant.key != START:
            assert len({phase.steps for phase in config.phases if phase.name.startswith("stage-")}) == 1


def test_a_missing_plan_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"regularizer-small\.toml: cannot be read: No such file"):
        read_budget("regularizer", "small", tmp_path)


def test_the_papers_comparison_of_mixtures_is_the_small_one_with_its_recipe():
    small, paper = ALL["gllmm", "small"], ALL["gllmm", "paper"]
    assert small.variants == paper.variants
    (plain,) = [run for run in paper.runs if run.variant.key == PLAIN and run.rate_distortion_lambda == 0.0075]
    model = plain.configuration({"training": ["pictures"]}).model
    assert (model.channels or model.latent_channels, model.components, len(model.families)) == (128, 3, 3)
    assert not model.linear_path


def test_released_weights_are_what_the_regularizer_goes_on_from():
    for run in ALL["regularizer", "released"].runs:
        assert run.configuration({"training": ["pictures"]}).start_from == "gllmm-lite-0.7"
