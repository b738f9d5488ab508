"""A plan pairs what is compared, and the paper's budget is that of the recipes."""

from pathlib import Path

import pytest

from trimix.reproduction.plan import BUDGETS, PAPER, PLAIN, SMALL, START
from trimix.training.config import load_training_config

CONFIGS = Path(__file__).parents[2] / "configs"
RECIPES = {
    "plain": "{architecture}-{level}.toml",
    "regularized": "{architecture}-{level}-regularized.toml",
    "stronger": "sweeps/{architecture}-{level}-stronger.toml",
    "weaker": "sweeps/{architecture}-{level}-weaker.toml",
}


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_every_variant_differs_from_its_plain_run_by_the_regularizer_alone(budget):
    runs = {run.key: run for run in budget.runs()}
    assert len(runs) == len(budget.runs())
    for run in runs.values():
        if run.variant.key in (PLAIN, START):
            assert "regularizer" not in run.training
            continue
        pair = runs[run.key.replace(run.variant.key, PLAIN)]
        training = dict(run.training)
        assert training.pop("regularizer") == run.variant.regularizer.model_dump()
        assert training == pair.training
        assert (run.seed, run.starts_from) == (pair.seed, pair.starts_from)


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=list(BUDGETS))
def test_starts_come_before_what_begins_with_them(budget):
    seen = set()
    for run in budget.runs():
        if run.starts_from is not None:
            assert run.starts_from.key in seen
            assert run.starts_from.seed == run.seed
        seen.add(run.key)
    assert sum(run.variant.key == START for run in budget.runs()) == (2 if budget is SMALL else 0)


def test_four_trade_offs_for_every_variant_and_seed():
    for budget in BUDGETS.values():
        for variant in budget.variants:
            for seed in variant.seeds:
                found = [run for run in budget.runs() if run.variant == variant and run.seed == seed]
                assert [run.rate_distortion_lambda for run in found] == [0.0018, 0.0035, 0.0067, 0.013]


@pytest.mark.parametrize(
    "run", [run for run in PAPER.runs() if run.variant.key in RECIPES], ids=lambda run: run.key
)
def test_the_papers_budget_is_that_of_the_recipes(run):
    name = RECIPES[run.variant.key].format(
        architecture=run.variant.architecture, level=f"{run.rate_distortion_lambda:.4f}"
    )
    recipe = load_training_config(CONFIGS / name)
    planned = run.configuration({"training": list(recipe.data.training)})
    for part in ("seed", "model", "data", "objective", "optimizer", "regularizer"):
        assert getattr(planned, part) == getattr(recipe, part), part
    # The same steps at the same rates, cut into stages after which the model is measured.
    *stages, fall = planned.phases
    main, last = recipe.phases
    assert sum(stage.steps for stage in stages) == main.steps
    assert {stage.model_copy(update={"name": "", "steps": 1}) for stage in stages} == {
        main.model_copy(update={"name": "", "steps": 1})
    }
    assert fall == last
