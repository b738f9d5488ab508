"""Every reader takes what once was a finding, and a short run of mutations; `make fuzz` makes longer ones."""

from itertools import islice

import pytest
from fuzzing_stages import CORPUS, STAGES, mutations

CASES = {"container": 1000, "symbols": 150, "model": 25, "picture": 200, "checkpoint": 40, "recipe": 50, "results": 150}
every_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=lambda stage: stage.name)


def test_the_corpus_is_small_and_of_known_stages():
    assert {path.name for path in CORPUS.iterdir()} <= set(STAGES)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 10**6


@every_stage
def test_what_once_was_a_finding_and_what_is_well_formed_are_read(stage):
    for data in (*stage.seeds(), *stage.corpus()):
        stage.read(data)


@every_stage
def test_mutations_of_a_fixed_seed_are_read_or_refused_in_words(stage):
    for data in islice(mutations(stage, seed=0), CASES[stage.name]):
        stage.read(data)


def test_mutations_are_the_same_for_the_same_seed():
    first, second, other = (list(islice(mutations(STAGES["results"], seed), 20)) for seed in (1, 1, 2))
    assert first == second != other
