"""Whatever is wrong with a config, the answer is a SpecError: one line that names the key."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from bigloop.config.experiment import Experiment
from bigloop.spec.options import SpecError

Config = dict[str, Any]
Break = Callable[[Config], None]
LOOP = "loops.fully-synthetic"
REMOVED = object()


def put(key: str, value: Any) -> Break:
    """Set the key at a path such as runs/vae/seeds, or remove it."""

    def change(config: Config) -> None:
        *folders, last = key.split("/")
        inner: Any = config
        for folder in folders:
            inner = inner[folder]
        if value is REMOVED:
            del inner[last]
        else:
            inner[last] = value

    return change


def vae_alone(change: Break) -> Break:
    """Without the runs that have a critic, and without the figures of critics unless `change` puts one back."""

    def apply(config: Config) -> None:
        config["runs"] = {"vae": config["runs"]["vae"]}
        for name in ("critic_matrices", "critic_on_test"):
            del config["figures"][name]
        change(config)

    return apply


def each(*changes: Break) -> Break:
    def apply(config: Config) -> None:
        for change in changes:
            change(config)

    return apply


SYNTHETIC = "loops/fully-synthetic/synthetic"
BUDGET = "loops/fully-synthetic/budget"

BROKEN: dict[str, tuple[Break, str]] = {
    "a run chosen that is not there": (put("only", "vea"), "only: unknown run 'vea' (known: "),
    "a run among the chosen that is not there": (put("only", ["vae", "vea"]), "only: unknown run 'vea'"),
    # unknown keys, at every level
    "unknown key at the top": (put("experimnt", "x"), "experimnt: unknown key"),
    "unknown key of data": (put("data/rot", None), "data.rot: unknown key"),
    "unknown key of the classifier": (put("classifier/widht", 2), "classifier.widht: unknown key"),
    "unknown key of a model": (put("models/vae-tiny/laten", 2), "models.vae-tiny.laten: unknown key"),
    "a key of another family": (put("models/vae-tiny/beta1", 0.5), "models.vae-tiny.beta1: unknown key"),
    "unknown key of a loop": (put("loops/fully-synthetic/sample", 2), f"{LOOP}.sample: unknown key"),
    "unknown key of real": (put("loops/fully-synthetic/real", {"fixd": 1}), f"{LOOP}.real.fixd: unknown key"),
    "unknown key of synthetic": (put(f"{SYNTHETIC}/m", 1), f"{LOOP}.synthetic.m: unknown key"),
    "unknown key of a budget": (
        put(f"{BUDGET}/retrain", {"steps": 1}),
        f"{LOOP}.budget.retrain.steps: unknown key",
    ),
    "unknown key of a run": (put("runs/vae/seed", 1), "runs.vae.seed: unknown key"),
    "unknown measure": (put("measures/fidd", None), "measures.fidd: unknown key"),
    "unknown option of a measure": (put("measures/fid", {"bins": 3}), "measures.fid.bins: unknown key"),
    "unknown key of critics": (put("critics/m", 3), "critics.m: unknown key"),
    "unknown figure": (put("figures/fids", None), "figures.fids: unknown figure"),
    "unknown option of a figure": (put("figures/samples", {"sid": 3}), "figures.samples.sid: unknown key"),
    "option of a figure without any": (
        put("figures/critic_on_test", {"n": 3}),
        "figures.critic_on_test.n: unknown",
    ),
    # missing keys and empty sections
    "no experiment": (put("experiment", REMOVED), "experiment: missing"),
    "no runs": (put("runs", REMOVED), "runs: missing"),
    "no figures": (put("figures", REMOVED), "figures: missing"),
    "empty runs": (put("runs", {}), "runs: is empty"),
    "empty models": (put("models", {}), "models: is empty"),
    "empty loops": (put("loops", {}), "loops: is empty"),
    "empty seeds": (put("runs/vae/seeds", []), "runs.vae.seeds: is empty"),
    "a model without a family": (put("models/vae-tiny/family", REMOVED), "models.vae-tiny.family: missing"),
    "a loop without samples": (put("loops/fully-synthetic/samples", REMOVED), f"{LOOP}.samples: missing"),
    "a loop without a first generation": (
        put("loops/fully-synthetic/initial", {}),
        f"{LOOP}.initial.n: missing",
    ),
    "a budget without retraining": (put(f"{BUDGET}/retrain", REMOVED), f"{LOOP}.budget.retrain: missing"),
    "a run without generations": (put("runs/vae/generations", REMOVED), "runs.vae.generations: missing"),
    # references to nothing
    "a model that is not there": (put("runs/vae/model", "vea"), "runs.vae.model: no model named 'vea'"),
    "a loop that is not there": (put("runs/vae/loop", "accumulate"), "runs.vae.loop: no loop named"),
    "a dataset that is not there": (
        put("runs/vae/dataset", "svhn"),
        "runs.vae.dataset: unknown dataset 'svhn'",
    ),
    "a family that is not there": (
        put("models/vae-tiny/family", "gan"),
        "models.vae-tiny.family: unknown family",
    ),
    # what a family cannot do
    "guidance without end": (
        each(
            put("models/vae-tiny", {"family": "ddpm"}),
            put("loops/fully-synthetic/bias", 0),
            put("runs/wgan-1", REMOVED),
            put("runs/wgan-2", REMOVED),
        ),
        f"{LOOP}.bias: ddpm needs a bias above 0",
    ),
    "more sampling steps than there are": (
        put("models/vae-tiny", {"family": "ddpm", "sampler": "ddim", "timesteps": 10, "sampling_steps": 11}),
        "models.vae-tiny.sampling_steps: expected at most timesteps, 10",
    ),
    "more neighbours than rows": (
        put("measures/recall", {"n": 5, "k": 5}),
        "measures.recall.k: 5 nearest other",
    ),
    # wrong types
    "a word for a number": (
        put("models/vae-tiny/latent", "four"),
        "models.vae-tiny.latent: expected integer",
    ),
    "1e-4, a word in YAML": (
        put("models/vae-tiny/learning_rate", "1e-4"),
        "models.vae-tiny.learning_rate: expected number, got '1e-4' (a word in YAML; write 1.0e-4)",
    ),
    "the word nan": (
        put("models/vae-tiny/learning_rate", "nan"),
        "models.vae-tiny.learning_rate: expected number",
    ),
    "a number for a word": (put("experiment", 7), "experiment: expected string, got 7"),
    "a number for a dataset": (put("runs/vae/dataset", 1), "runs.vae.dataset: expected string"),
    "true for a number": (put("models/vae-tiny/latent", True), "models.vae-tiny.latent: expected integer"),
    "true for a rate": (
        put("models/vae-tiny/learning_rate", True),
        "models.vae-tiny.learning_rate: expected",
    ),
    "a number for true": (
        put("loops/fully-synthetic/real", {"reuse": 1}),
        f"{LOOP}.real.reuse: expected boolean",
    ),
    "a fraction of a unit": (put("models/vae-tiny/hidden", 32.5), "models.vae-tiny.hidden: expected integer"),
    "half a generation": (put("runs/vae/generations", 2.5), "runs.vae.generations: expected integer"),
    "no seeds": (put("runs/vae/seeds", 0), "runs.vae.seeds: expected at least 1, got 0"),
    "a seed that is a word": (put("runs/vae/seeds", [0, "one"]), "runs.vae.seeds.1: expected integer"),
    "a list for a mapping": (put("models", ["vae"]), "models: expected object"),
    "a list for a run": (put("runs/vae", ["mnist"]), "runs.vae: expected object"),
    "a word for a loop": (put("loops/fully-synthetic", "replace"), f"{LOOP}: expected object"),
    "nothing for the models": (put("models", None), "models: expected object, got nothing"),
    "nothing for a model": (put("models/vae-tiny", None), "models.vae-tiny: expected object"),
    "nothing for the measures": (put("measures", None), "measures: expected object"),
    "nothing for a family": (put("models/vae-tiny/family", None), "models.vae-tiny.family: expected string"),
    "nothing for a rate": (
        put("models/vae-tiny/learning_rate", None),
        "models.vae-tiny.learning_rate: expected",
    ),
    "a number for a measure": (put("measures/fid", 3), "measures.fid: expected object"),
    "true for a measure": (put("measures/fid", True), "measures.fid: expected"),
    "a number for a figure": (put("figures/fid", 3), "figures.fid: expected object"),
    "true for a figure": (put("figures/fid", True), "figures.fid: expected"),
    "a word for a figure's number": (put("figures/samples", {"side": "5"}), "figures.samples.side: expected"),
    "a number for a figure's list": (
        put("figures/samples", {"generations": 1}),
        "figures.samples.generations: exp",
    ),
    "a run whose name is a number": (
        lambda c: c["runs"].update({1: c["runs"]["vae"]}),
        "runs.1: is not a name",
    ),
    "a figure whose name is a number": (
        lambda c: c["figures"].update({1: None}),
        "figures.1: unknown figure",
    ),
    # hints for words that are numbers to people
    "4e2, a word in YAML": (
        put("models/vae-tiny/hidden", "4e2"),
        "models.vae-tiny.hidden: expected integer, got '4e2' (a word in YAML; write 400)",
    ),
    "a fraction as a word for an integer": (
        put("models/vae-tiny/hidden", "1e-4"),
        "models.vae-tiny.hidden: expected integer, got '1e-4'",
    ),
    # counts without bounds
    "a thousand million seeds": (
        put("runs/vae/seeds", 1_000_000_000),
        "runs.vae.seeds: expected at most 100000, got 1000000000",
    ),
    "1e30 seeds": (put("runs/vae/seeds", "1e30"), "runs.vae.seeds: expected integer, got '1e30'"),
    "1.0e+30 seeds": (put("runs/vae/seeds", 1e30), "runs.vae.seeds: expected at most 100000, got 1000000"),
    "a seed of 400 digits": (put("runs/vae/seeds", [10**400]), "runs.vae.seeds.0: expected at most 900719"),
    "half a seed": (put("runs/vae/seeds", [0.5]), "runs.vae.seeds.0: expected integer, got 0.5"),
    "seeds that never end": (put("runs/vae/seeds", math.inf), "runs.vae.seeds: expected integer, got inf"),
    "a list of too many seeds": (
        put("runs/vae/seeds", list(range(100_001))),
        "runs.vae.seeds: expected at most 100000 entries, got 100001",
    ),
    "too many generations": (
        put("runs/vae/generations", 10**9),
        "runs.vae.generations: expected at most 1000000, got 1000000000",
    ),
    "too many jobs": (
        each(put("runs/vae/seeds", 100_000), put("runs/vae/generations", 11)),
        "runs: have 1100004 generations, seeds counted, to train one by one, expected at most 1000000",
    ),
    "too many rows": (
        put("loops/fully-synthetic/samples", 10**12),
        f"{LOOP}.samples: expected at most 1000000000, got 1000000000000",
    ),
    "too many epochs": (
        put(f"{BUDGET}/initial", {"epochs": 1e9}),
        f"{LOOP}.budget.initial.epochs: expected at most 1000000, got 1000000000.0",
    ),
    "too wide a layer": (
        put("models/vae-tiny/hidden", 10**9),
        "models.vae-tiny.hidden: expected at most 1000000, got 1000000000",
    ),
    "too many to measure": (
        put("measures/fid", {"n": 10**10}),
        "measures.fid.n: expected at most 1000000000, got 10000000000",
    ),
    "plugins that are not there": (
        put("plugins", ["no_such_module"]),
        "plugins: no_such_module: cannot be imported (ModuleNotFoundError: No module named 'no_such_module')",
    ),
    # values out of range
    "a negative count": (put("models/vae-tiny/hidden", -3), "models.vae-tiny.hidden: "),
    "no learning": (put("models/vae-tiny/learning_rate", 0), "models.vae-tiny.learning_rate: "),
    "a rate that is NaN": (put("models/vae-tiny/learning_rate", math.nan), "models.vae-tiny.learning_rate: "),
    "a rate that is infinite": (
        put("models/vae-tiny/learning_rate", math.inf),
        "models.vae-tiny.learning_rate: ",
    ),
    "a classifier's rate that is NaN": (
        put("classifier/learning_rate", math.nan),
        "classifier.learning_rate: ",
    ),
    "a budget that is infinite": (
        put(f"{BUDGET}/initial", {"epochs": math.inf}),
        f"{LOOP}.budget.initial.epochs: ",
    ),
    "a bias that is NaN": (put("loops/fully-synthetic/bias", math.nan), f"{LOOP}.bias: "),
    "a bias above 1": (put("loops/fully-synthetic/bias", 1.1), f"{LOOP}.bias: "),
    "a bias below 0": (put("loops/fully-synthetic/bias", -0.1), f"{LOOP}.bias: "),
    "certain dropout": (put("classifier/dropout", 1.0), "classifier.dropout: "),
    "no generations": (put("runs/vae/generations", 0), "runs.vae.generations: "),
    "a negative seed": (put("runs/vae/seeds", [0, -1]), "runs.vae.seeds.1: "),
    "a seed twice": (put("runs/vae/seeds", [3, 1, 3]), "runs.vae.seeds: [3, 1, 3] contains a seed twice"),
    "a seed twice, spelled differently": (
        put("runs/vae/seeds", [3, 3.0]),
        "runs.vae.seeds: [3, 3] contains a seed",
    ),
    "an unknown last layer": (
        put("models/wgan-tiny-1/critic_output", "relu"),
        "models.wgan-tiny-1.critic_output: exp",
    ),
    "an unknown start": (
        put("loops/fully-synthetic/start", "warm"),
        f"{LOOP}.start: expected one of scratch",
    ),
    "from no generation": (
        put(f"{SYNTHETIC}/from", 0),
        f"{LOOP}.synthetic.from: expected integer of at least 1 or all",
    ),
    "from a word": (put(f"{SYNTHETIC}/from", "last"), f"{LOOP}.synthetic.from: expected integer"),
    "n below 2": (put("measures/fid", {"n": 1}), "measures.fid.n: "),
    "one bin": (put("measures/pixels", {"bins": 1}), "measures.pixels.bins: "),
    "an empty label": (put("runs/vae/label", ""), "runs.vae.label: "),
    # names
    "a reserved experiment": (put("experiment", "runs"), "experiment: 'runs' is a reserved name"),
    "a reserved run": (
        lambda c: c["runs"].update(real=c["runs"]["vae"]),
        "runs.real: 'real' is a reserved name",
    ),
    "a name with a slash": (put("experiment", "a/b"), "experiment: 'a/b' is not a name"),
    "a name that climbs": (put("experiment", "../up"), "experiment: '../up' is not a name"),
    "a name with a space": (
        lambda c: c["runs"].update({"my run": c["runs"]["vae"]}),
        "runs.my run: is not a name",
    ),
    "a loop with a slash": (lambda c: c["loops"].update({"a/b": {}}), "loops.a/b: is not a name"),
    "a model with two hyphens": (lambda c: c["models"].update({"a--b": {}}), "models.a--b: is not a name"),
    "an empty name": (put("experiment", ""), "experiment: '' is not a name"),
    "a name of two lines": (
        lambda c: c["runs"].update({"a\nb": c["runs"]["vae"]}),
        "runs.a b: is not a name",
    ),
    "a name that ends a line": (put("experiment", "smoke\n"), "experiment: 'smoke\\n' is not a name"),
    "a run that ends a line": (
        lambda c: c["runs"].update({"v\n": c["runs"]["vae"]}),
        "runs.v: 'v\\n' is not a name",
    ),
    "a name of 65 letters": (put("experiment", "x" * 65), f"experiment: '{'x' * 65}' is not a name"),
    # rules between keys
    "both n and ratio": (
        put(SYNTHETIC, {"n": 6, "ratio": 1.0}),
        f"{LOOP}.synthetic: give n or ratio, not both",
    ),
    "both epochs and images": (
        put(f"{BUDGET}/initial", {"epochs": 1, "images": 64}),
        f"{LOOP}.budget.initial: give only one of epochs, images",
    ),
    "neither epochs nor images": (put(f"{BUDGET}/retrain", {}), f"{LOOP}.budget.retrain: is empty"),
    "more first rows than the dataset has": (
        put("loops/fully-synthetic/initial/n", 60_001),
        f"{LOOP}.initial.n: 60001 rows requested, but the dataset has 60000",
    ),
    "more fixed rows than generation 1 had": (
        put("loops/fully-synthetic/real", {"fixed": 601}),
        f"{LOOP}.real.fixed: 601 rows",
    ),
    "fresh rows that run out": (
        put("loops/fully-synthetic/real", {"fresh": 30_000}),
        f"{LOOP}.real.fresh: 3 generations need 60600 distinct real rows",
    ),
    "more fresh rows than the dataset has": (
        put("loops/fully-synthetic/real", {"fresh": 60_001, "reuse": True}),
        f"{LOOP}.real.fresh: 60001 rows",
    ),
    "later generations without rows": (
        put(SYNTHETIC, {"n": 0}),
        f"{LOOP}: later generations would train on nothing",
    ),
    "fewer samples than the next trains on": (
        put(f"{SYNTHETIC}/n", 601),
        f"{LOOP}.synthetic: 601 rows requested, but each generation generates 600",
    ),
    "more measured than sampled": (put("measures/fid", {"n": 601}), "measures.fid.n: 601 needs 601 samples"),
    "more measured than sampled, on two halves": (
        put("measures/wasserstein1_excess", {"n": 301}),
        "measures.wasserstein1_excess.n: 301 needs 602 samples",
    ),
    "more measured than the data allow": (
        each(put("loops/fully-synthetic/samples", 50_000), put("measures/fid", {"n": 30_001})),
        "measures.fid.n: 30001 needs two disjoint real sets of 30001 rows, mnist has 60000",
    ),
    "too few samples for any measure": (
        each(
            put("loops/fully-synthetic/samples", 1),
            put(f"{SYNTHETIC}/n", 1),
            put("measures", {"fid": None}),
        ),
        "measures.fid.n: needs at least 2 samples",
    ),
    "too few samples for two halves": (
        each(
            put("loops/fully-synthetic/samples", 3),
            put(f"{SYNTHETIC}/n", 3),
            put("measures", {"wasserstein1_excess": None}),
        ),
        "measures.wasserstein1_excess.n: needs at least 4 samples",
    ),
    "a figure of critics without a critic": (
        vae_alone(put("figures/critic_matrices", None)),
        "figures.critic_matrices: no run has a critic",
    ),
    "the figure of a critic without one": (
        vae_alone(put("figures/critic_on_test", None)),
        "figures.critic_on_test: no run has a critic",
    ),
    "a figure of what is not measured": (put("measures/fid", REMOVED), "figures.fid: needs measures.fid"),
    "a figure of what is left out": (
        put("measures/pixels", False),
        "figures.pixel_intensities: needs measures.pix",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_config_is_one_line_that_names_the_key(name: str, config: Config) -> None:
    change, message = BROKEN[name]
    change(config)
    with pytest.raises(SpecError) as raised:
        Experiment.from_config(config)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("config", [None, [], "smoke", 3, True])
def test_a_config_that_is_not_a_mapping_is_refused(config: Any) -> None:
    with pytest.raises(SpecError, match=r"\Aconfig: expected object, got [^\n]+\Z"):
        Experiment.from_config(config)


def test_an_empty_config_lacks_its_name() -> None:
    with pytest.raises(SpecError, match=r"^experiment: missing$"):
        Experiment.from_config({})


def test_the_config_that_these_tests_break_is_sound(config: Config) -> None:
    Experiment.from_config(config)


def test_a_vae_alone_is_sound(config: Config) -> None:
    vae_alone(lambda config: None)(config)
    Experiment.from_config(config)
