"""Recipes say what their names say, and there is one for each run of the papers."""

import math
import re
import tomllib
from functools import lru_cache
from itertools import product
from pathlib import Path

import pytest
import torch

from compressai_levels import of_level
from trimix.architectures.building import build
from trimix.architectures.config import AttentionConfig, AutoregressiveConfig, HyperpriorConfig
from trimix.errors import ConfigurationError
from trimix.probability import Family
from trimix.training.config import RegularizerConfig, load_training_config
from trimix.training.source_entropy import source_entropy_config

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = {str(path.relative_to(CONFIGS).with_suffix("")): path for path in sorted(CONFIGS.rglob("*.toml"))}
PLANS = "tables/regularizer-", "tables/gllmm-small", "tables/gllmm-paper"
RECIPES = [name for name in FILES if not name.startswith(("base/", *PLANS))]

LEVELS = ["0.0018", "0.0035", "0.0067", "0.0130"]
BASELINES = {"hyperprior": HyperpriorConfig, "autoregressive": AutoregressiveConfig, "attention": AttentionConfig}
ALPHAS = {"hyperprior": 0.1, "autoregressive": 1.0, "attention": 1.0}
GLLMM_CHANNELS = {
    "mse": {128: ["0.0016", "0.0032", "0.0075", "0.015"], 256: ["0.023", "0.03", "0.045", "0.06"]},
    "ms-ssim": {128: ["12", "40"], 256: ["80", "120"]},
}
ABLATIONS = {
    "gaussian-3": {"families": (Family.GAUSSIAN,)},
    "laplacian-3": {"families": (Family.LAPLACIAN,)},
    "logistic-3": {"families": (Family.LOGISTIC,)},
    "gaussian-9": {"families": (Family.GAUSSIAN,), "components": 9},
    "plain-blocks": {"concatenated": False},
    "three-stages": {"stages": 3},
}


@lru_cache
def recipe(name):
    return load_training_config(FILES[name])


def differences(one, other):
    """Fields that two recipes have differently; of tables that both have, the fields of these."""
    found = set()
    for field in set(type(one).model_fields) | set(type(other).model_fields):
        ours, theirs = getattr(one, field, None), getattr(other, field, None)
        if ours != theirs:
            inner = hasattr(type(ours), "model_fields") and type(ours) is type(theirs)
            found |= {f"{field}.{key}" for key in differences(ours, theirs)} if inner else {field}
    return found


def test_there_is_a_recipe_for_every_run():
    expected = {"gllmm-lite", "gllmm-lite-ms-ssim", "gllmm-lite-eye", "gllmm-lite-shards", "gllmm", "gllmm-lite-1"}
    expected |= {f"{model}-{level}{how}" for model, level, how in product(BASELINES, LEVELS, ["", "-regularized"])}
    expected |= {f"sweeps/hyperprior-0.0067-rho-{rho}" for rho in ["0.01", "0.03", "0.1", "0.3"]}
    expected |= {f"sweeps/hyperprior-0.0067-long-alpha-{alpha}" for alpha in ["0.003", "0.01", "0.03", "0.1"]}
    expected |= {"sweeps/hyperprior-0.0067-long", "tables/small", "tables/small-start"}
    expected |= {"tables/gllmm-narrow", "tables/lite-continued"}
    expected |= {f"sweeps/hyperprior-{level}-stronger" for level in LEVELS}
    expected |= {f"sweeps/autoregressive-{level}-weaker" for level in LEVELS}
    for distortion, channels in GLLMM_CHANNELS.items():
        expected |= {f"gllmm/gllmm-{distortion}-{level}" for levels in channels.values() for level in levels}
    expected |= {"gllmm/gllmm-mse-all-rates"}
    expected |= {f"ablations/gllmm-mse-0.0075-{name}" for name in ABLATIONS}
    assert set(RECIPES) == expected


def test_runs_go_to_folders_of_their_own():
    stems = [FILES[name].stem for name in RECIPES]
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_short_and_says_first_what_it_is(name):
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    own = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    # What stands on nothing has to say all of its phases.
    assert len(own) <= (22 if "base" in tomllib.loads("\n".join(lines)) else 40)


@lru_cache
def parameters(config):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(config).parameters())


@pytest.mark.parametrize("name", RECIPES)
def test_the_model_of_a_recipe_can_be_built(name):
    model = recipe(name).model
    if model.kind != "gllmm-lite":  # one architecture for all trade-offs
        model = model.model_copy(update={"rate_distortion_lambda": 1.0})
    assert parameters(model) > (10**4 if name.startswith("tables/") else 10**6)


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("level", LEVELS)
def test_plain_baselines_are_levels_of_compressai_at_the_papers_settings(kind, level):
    run = recipe(f"{kind}-{level}")
    assert run.model == of_level(BASELINES[kind], LEVELS.index(level) + 1)
    assert run.model.rate_distortion_lambda == float(level)
    assert run.regularizer is None
    assert run.seed == 1
    assert sum(phase.steps for phase in run.phases) == 1_000_000
    assert {phase.batch_size for phase in run.phases} == {16}
    assert {phase.patch_size for phase in run.phases} == {256}
    assert {phase.learning_rate for phase in run.phases} == {1e-4}
    assert run.optimizer.clip_norm == 1


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("level", LEVELS)
def test_a_regularized_run_differs_from_the_plain_one_by_the_papers_regularizer_alone(kind, level):
    run = recipe(f"{kind}-{level}-regularized")
    assert differences(run, recipe(f"{kind}-{level}")) == {"regularizer"}
    assert run.regularizer == RegularizerConfig(alpha=ALPHAS[kind], unit="unit_range")


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("sweeps/")])
def test_a_sweep_differs_from_its_anchor_as_its_name_says(name):
    anchor, how = re.fullmatch(r"sweeps/([a-z]+-0\.\d+)(-.+)", name).groups()
    how = how.removeprefix("-long")
    long = "-long" in name
    run, plain = recipe(name), recipe(f"sweeps/{anchor}-long" if long and how else anchor)
    assert differences(run, plain) == ({"regularizer"} if how else {"phases"})
    expected = {
        "-stronger": {"strength": "stronger", "alpha": 1.0, "unit": "unit_range"},
        "-weaker": {"strength": "weaker", "alpha": 0.1, "unit": "unit_range"},
    }
    if named := re.fullmatch(r"-(alpha|rho)-(.+)", how):
        expected[how] = {named[1]: float(named[2]), "unit": "bits_per_pixel"}
    assert run.regularizer == (RegularizerConfig(**expected[how]) if how else None)


@pytest.mark.parametrize("level", LEVELS)
def test_stronger_and_weaker_source_models_are_those_of_the_other_codec(level):
    """Fig. 8: each of the two codecs with the source model that the other one has when they are aligned."""
    models = {}
    for name in [
        f"hyperprior-{level}-regularized",
        f"autoregressive-{level}-regularized",
        f"sweeps/hyperprior-{level}-stronger",
        f"sweeps/autoregressive-{level}-weaker",
    ]:
        models[name] = source_entropy_config(recipe(name).model, recipe(name).regularizer)
    weak, strong, stronger, weaker = models.values()
    assert stronger == strong != weak == weaker


def test_a_long_run_is_twice_as_long():
    short, long = recipe("hyperprior-0.0067"), recipe("sweeps/hyperprior-0.0067-long")
    assert sum(phase.steps for phase in long.phases) == 2 * sum(phase.steps for phase in short.phases)
    assert [differences(*pair) for pair in zip(long.phases, short.phases, strict=True)] == [{"steps"}, set()]


@pytest.mark.parametrize("distortion", GLLMM_CHANNELS)
@pytest.mark.parametrize("channels", [128, 256])
def test_rate_points_of_gllmm(distortion, channels):
    for level in GLLMM_CHANNELS[distortion][channels]:
        run = recipe(f"gllmm/gllmm-{distortion}-{level}")
        assert run.model.kind == "gllmm"
        assert run.model.latent_channels == channels
        assert run.model.rate_distortion_lambda == float(level)
        assert run.objective.distortion == distortion
        assert sum(phase.steps for phase in run.phases) == 1_500_000
        assert {(p.batch_size, p.patch_size, p.learning_rate) for p in run.phases} == {(8, 256, 1e-4)}
        assert run.phases[-1].learning_rate_final < 1e-5


def test_gllmm_of_all_rates_spans_the_papers_with_a_margin():
    run = recipe("gllmm/gllmm-mse-all-rates")
    assert run.model.kind == "gllmm"
    assert run.model.latent_channels == 128
    assert run.model.all_rates
    low, high = run.model.lambda_minimum, run.model.lambda_maximum
    assert low / 0.0016 == pytest.approx(0.03 / high)
    qualities = [1 + 99 * math.log(level / low) / math.log(high / low) for level in (0.0016, 0.03)]
    assert [round(quality) for quality in qualities] == [9, 92]
    # As many patches as a run of one rate.
    assert sum(phase.steps * phase.batch_size for phase in run.phases) == 1_500_000 * 8


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_one_thing_of_gllmm(name):
    run, anchor = recipe(f"ablations/gllmm-mse-0.0075-{name}"), recipe("gllmm/gllmm-mse-0.0075")
    assert differences(run, anchor) == {f"model.{field}" for field in ABLATIONS[name]}
    assert {field: getattr(run.model, field) for field in ABLATIONS[name]} == ABLATIONS[name]


def test_gllmm_lite_for_ms_ssim_has_patches_that_the_measure_takes():
    run = recipe("gllmm-lite-ms-ssim")
    assert run.objective.distortion == "ms-ssim"
    assert all(phase.patch_size > 160 for phase in run.phases)
    assert differences(run.model, recipe("gllmm-lite").model) == {"lambda_minimum", "lambda_maximum", "lambda_ratio"}


def test_gllmm_lite_for_the_eye_has_the_rates_of_gllmm_lite():
    run, base = recipe("gllmm-lite-eye"), recipe("gllmm-lite")
    assert run.objective.distortion == "ssimulacra2"
    lambdas = {"lambda_minimum", "lambda_maximum"}
    assert differences(run.model, base.model) <= {*lambdas, "lambda_ratio", "lambda_exponent"}
    for name in lambdas:
        power = getattr(base.model, name) ** run.model.lambda_exponent
        assert getattr(run.model, name) == pytest.approx(run.model.lambda_ratio * power, rel=0.05)


BASE = """
seed = 5
[model]
kind = "hyperprior"
channels = 4
[data]
training = ["a", "b"]
[[phases]]
name = "first"
steps = 3
[[phases]]
name = "second"
steps = 4
"""


@pytest.fixture
def write(tmp_path):
    """Writes files of a folder, the last one the recipe, and gives its path."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".toml").write_text(text, encoding="utf-8")
        return path.with_suffix(".toml")

    return write


def test_tables_change_key_by_key_and_lists_are_replaced(write):
    text = 'base = "inner/base.toml"\nseed = 6\n[model]\nlatent_channels = 6\n[data]\ntraining = ["c"]'
    run = load_training_config(write(inner__base=BASE, run=text))
    assert run.seed == 6
    assert run.model == HyperpriorConfig(channels=4, latent_channels=6)
    assert run.data.training == (Path("c"),)
    assert [phase.name for phase in run.phases] == ["first", "second"]


def test_a_base_stands_on_a_base_and_paths_are_relative_to_the_file_they_stand_in(write):
    run = write(
        inner__base=BASE,
        inner__middle='base = "base.toml"\nseed = 6\n[model]\nchannels = 5',
        other__run='base = "../inner/middle.toml"\n[model]\nlatent_channels = 6',
    )
    assert load_training_config(run).model == HyperpriorConfig(channels=5, latent_channels=6)
    assert load_training_config(run).seed == 6


def test_a_table_of_a_phases_name_changes_that_phase_alone(write):
    text = 'base = "base.toml"\n[phases.second]\nbatch_size = 2\n[phases.first]\nsteps = 9'
    first, second = load_training_config(write(base=BASE, run=text)).phases
    assert (first.name, first.steps, first.batch_size) == ("first", 9, 8)
    assert (second.name, second.steps, second.batch_size) == ("second", 4, 2)


def test_a_list_of_phases_replaces_that_of_the_base(write):
    text = 'base = "base.toml"\n[[phases]]\nname = "first"\nsteps = 1\n[[phases]]\nname = "third"\nsteps = 2'
    phases = load_training_config(write(base=BASE, run=text)).phases
    assert [(phase.name, phase.steps) for phase in phases] == [("first", 1), ("third", 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base = 3", r"run\.toml: base: must be the path of a TOML file, found 3$"),
        ('base = ["base.toml"]', r"run\.toml: base: must be the path of a TOML file, found \["),
        (r'base = "a\u0000b"', r"run\.toml: base: must be the path of a TOML file, found 'a\\x00b'$"),
        ("a = " + 2000 * "[", r"run\.toml: is not valid TOML"),
        ('base = "none.toml"', r"run\.toml: base: must be a TOML file, but \S*none\.toml cannot be read: No such"),
        ('base = "run.toml"', r"run\.toml: base: must not lead back to where it came from, found \S+ -> \S+;"),
        ('base = "round.toml"', r"round\.toml: base: must not lead back.* found \S+ -> \S+ -> \S+;"),
        ('base = "broken.toml"', r"broken\.toml: is not valid TOML"),
        (
            'base = "base.toml"\n[phases.third]\nsteps = 1',
            r"run\.toml: phases\.third: must have the name of one phase of the base, which has first, second;",
        ),
        ("[phases.first]\nsteps = 1", r"run\.toml: phases\.first: must .*, which has no phases;"),
        ('base = "base.toml"\n[phases]\nfirst = 7', r"run\.toml: phases\.first: must be a table, found 7"),
        (
            'base = "base.toml"\n[phases.second]\nspeed = 1',
            r"run\.toml: phases\.second\.speed: is no key of a training configuration",
        ),
        ('base = "base.toml"\n[model]\nchannels = 0', r"run\.toml: model\.channels: must be greater than 0, found 0$"),
        ('base = "base.toml"\n[model]\nkind = "resnet"', r"run\.toml: model\.kind: must be one of .*, found 'resnet'"),
        (
            'base = "wrong.toml"\n[model]\nlatent_channels = 6',
            r"wrong\.toml \(which \S+run\.toml stands on\): model\.channels: must be greater than 0, found 0$",
        ),
        (
            'base = "base.toml"\n[[phases]]\nname = "only"',
            r"^\S+run\.toml: phases\.0\.steps: must be given, found nothing; add it",
        ),
        ('base = "base.toml"\nspeed = 3', r"run\.toml: speed: is no key of a training configuration"),
        ('base = "base.toml"\n[regularizer]', r"run\.toml: regularizer: either alpha or rho must be given"),
        (
            'base = "base.toml"\n[model]\nkind = "attention"',
            r"base\.toml \(which \S+run\.toml stands on\): model\.channels: is no key",
        ),
        (
            'base = "base.toml"\n[model]\nkind = "gllmm"\nfamilies = ["normal"]',
            r"run\.toml: model\.families\.0: must be one of gaussian, laplacian, logistic, found 'normal'$",
        ),
    ],
)
def test_a_mistake_names_the_file_in_which_it_stands(write, text, message):
    wrong = BASE.replace("channels = 4", "channels = 0")
    path = write(base=BASE, wrong=wrong, broken="phases = [", round='base = "run.toml"', run=text)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_training_config(path)
    assert "\n" not in str(caught.value)


def test_families_are_written_by_name_or_by_number(write):
    text = BASE.replace('"hyperprior"\nchannels = 4', '"gllmm"\nfamilies = {}')
    for families in ('["logistic", "gaussian"]', "[2, 0]"):
        run = load_training_config(write(run=text.format(families)))
        assert run.model.families == (Family.LOGISTIC, Family.GAUSSIAN)


def test_the_page_on_training_names_every_recipe_and_no_other():
    text = (CONFIGS.parent / "docs" / "training.md").read_text(encoding="utf-8")
    patterns = set(re.findall(r"configs/[\w*?/.-]+\.toml", text))
    named = {pattern: set(CONFIGS.parent.glob(pattern)) for pattern in patterns}
    assert not [pattern for pattern, files in named.items() if not files]
    assert set().union(*named.values()) >= {FILES[name] for name in RECIPES}


def test_the_page_on_training_shows_recipes_that_work(tmp_path):
    text = (CONFIGS.parent / "docs" / "training.md").read_text(encoding="utf-8")
    shown = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    first = (CONFIGS / "hyperprior-0.0067-regularized.toml").read_text(encoding="utf-8")
    assert shown[0] == "".join(line for line in first.splitlines(keepends=True) if not line.startswith("#"))
    (tmp_path / "configs").symlink_to(CONFIGS)
    path = tmp_path / "own.toml"
    path.write_text(shown[1], encoding="utf-8")
    run, base = load_training_config(path), recipe("gllmm/gllmm-mse-0.0075")
    changed = [differences(*pair) for pair in zip(run.phases, base.phases, strict=True)]
    assert changed == [{"steps", "patch_size"}, {"learning_rate_final"}]
