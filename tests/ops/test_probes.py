"""What is timed for an estimate, and how much of it is done: counts of works, images and network evaluations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from bigloop.config.experiment import Experiment
from bigloop.generation.store import new_model
from bigloop.metrics import MEASURES, Measure
from bigloop.models.images.neural import NeuralFamily
from bigloop.models.images.unet import UNet
from bigloop.ops import probes
from bigloop.ops.timing import VERBS
from bigloop.simulation.lineages import Lineages

from ..shipped import SHIPPED

CPU = torch.device("cpu")
NEEDS: dict[str, tuple[str, ...]] = dict.fromkeys(VERBS, ())
REPOSITORY = Path(__file__).parents[2]
KNOWN = REPOSITORY / "tests" / "smoke" / "known.yaml"


def read(path: Path) -> Experiment:
    return Experiment.from_config(yaml.safe_load(path.read_text()))


class Impatient:
    """A clock on which every look at it is an hour later: no part but the least is timed."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 3_600.0
        return self.now


def impatient() -> probes.Timing:
    timing = probes.Timing(NEEDS, device=CPU)
    timing.watch.clock = Impatient()  # type: ignore[method-assign]
    return timing


@pytest.mark.usefixtures("beside_pictures")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_each_work_of_a_shipped_config_is_to_be_timed_once(path: Path) -> None:
    timing = probes.Timing(NEEDS, device=CPU)
    timing._forecast(read(path))  # collects, times nothing
    works = list(timing.watch.probes.values())
    assert not timing.watch.found
    assert 0 < len(works) <= 200  # 168 of mode-collapse, in a minute
    assert all(min(work.least, work.size) >= 1 for work in works)


def test_runs_that_train_alike_are_timed_together() -> None:
    """14 runs of two models in stability-mixing, which differ in their loops alone."""
    timing = probes.Timing(NEEDS, device=CPU)
    timing._forecast(read(REPOSITORY / "workflow" / "experiments" / "stability-mixing.yaml"))
    kinds = Counter(work.words.split()[0] for work in timing.watch.probes.values())
    assert kinds["sampling"] == 2
    assert kinds["training"] == 3  # with the classifier


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ({"family": "stylegan2", "latent": 8, "width_base": 112, "width_most": 8, "batch_size": 12}, 4),
        ({"family": "dcgan", "width": 4, "latent": 8, "batch_size": 12, "pack": 3}, 3),
        ({"family": "dcgan", "width": 4, "latent": 8, "batch_size": 12}, 1),
    ],
)
def test_a_training_is_tried_with_the_smallest_batch_that_its_options_allow(
    config: dict[str, Any], model: dict[str, Any], least: int
) -> None:
    name, run = next(iter(config["runs"].items()))
    config["models"][run["model"]] = model
    config["runs"], config["figures"] = {name: run}, {"samples": None}
    timing = impatient()
    timing.training(Experiment.from_config(config).runs[name], 12)
    timing.watch.run(0.0, lambda line: None)
    (found,) = timing.watch.found.values()
    assert found.done == least


def test_without_time_an_image_or_two_are_all_that_a_family_trains_on(config, monkeypatch) -> None:
    seen: list[int] = []
    fit = NeuralFamily.fit

    def counted(self: Any, rows: Any, budget: Any, *others: Any, **more: Any) -> Any:
        seen.append(budget.steps(len(rows), self.options.batch_size) * self.options.batch_size)
        return fit(self, rows, budget, *others, **more)

    monkeypatch.setattr(NeuralFamily, "fit", counted)
    timing = impatient()
    timing.forecast(Experiment.from_config(config))
    assert seen
    assert max(seen) == 1
    assert all(found.done <= timing.watch.probes[key].least for key, found in timing.watch.found.items())


@pytest.mark.parametrize("sampler", [{"sampler": "ddpm"}, {"sampler": "ddim", "sampling_steps": 12}])
@pytest.mark.parametrize("bias", [1.0, 0.5])
def test_a_samplers_steps_are_counted_not_made(sampler: dict[str, Any], bias: float, monkeypatch) -> None:
    config = yaml.safe_load((REPOSITORY / "workflow" / "experiments" / "bias-small.yaml").read_text())
    config["models"]["ddpm"] |= {"timesteps": 40, "width": 4, **sampler}
    config["runs"] = {"ddpm": config["runs"]["ddpm-1.0"]}
    config["loops"]["fully-synthetic-ddpm-1.0"]["bias"] = bias
    config["figures"] = {"samples": None}
    run = Experiment.from_config(config).runs["ddpm"]
    calls = Counter()
    forward = UNet.forward

    def counted(self: UNet, *given: Any, **named: Any) -> Any:
        calls["now"] += 1
        return forward(self, *given, **named)

    monkeypatch.setattr(UNet, "forward", counted)
    timing = impatient()
    timing.sampling(run)
    (probe,) = timing.watch.probes.values()
    probe.prepare(3)()
    shortened = calls.pop("now")
    model: Any = new_model(run.spec.model, (1, 28, 28), 0, 1, CPU, 10)
    model.sample(3, bias, torch.Generator(), labels=torch.zeros(3, dtype=torch.int64))
    times = calls["now"] / shortened
    timing.watch.run(1.0, lambda line: None)
    (found,) = timing.watch.found.values()
    assert timing.sampling(run).unit == pytest.approx(times * found.low.unit)
    assert shortened <= 4


def test_a_registered_measure_is_timed_by_what_its_own_declaration_says(config, monkeypatch) -> None:
    def slow(generated: np.ndarray, real: np.ndarray, of_real: float) -> float:
        assert generated.shape[1:] == real.shape[1:] == (1, 28, 28)
        assert len(generated) == len(real) / 2 == of_real / 2
        return 0.0

    def against_training(generated: np.ndarray, real: np.ndarray) -> float:
        sizes.append((len(generated), len(real)))
        return 0.0

    sizes: list[tuple[int, int]] = []
    experiment = Experiment.from_config(config)
    spec, timing = experiment.classifiers["mnist"], impatient()
    known = Measure(slow, ("images",), limit=500, power=3.0, of_real=lambda real: float(len(real)))
    monkeypatch.setitem(MEASURES, "slow", known)
    monkeypatch.setitem(MEASURES, "near", Measure(against_training, ("images",), against="training"))
    timing.measure("slow", {"n": 100}, "mnist", spec)
    timing.measure("near", {"n": 600}, "mnist", spec)
    slow_probe, near_probe = timing.watch.probes.values()
    assert (slow_probe.power, near_probe.power) == (3.0, 1.0)
    near_probe.prepare(60)()
    assert sizes == [(60, 6_000)]  # a tenth of the training set, for a tenth of n
    with pytest.raises(AssertionError):
        slow_probe.prepare(60)()  # which stands for as many rows on both sides


def test_a_measure_of_which_the_real_side_is_known_is_timed_without_it(config, monkeypatch) -> None:
    calls: list[str] = []

    def of_real(real: np.ndarray) -> float:
        calls.append("real")
        return 0.0

    def value(generated: np.ndarray, real: np.ndarray, of_real: float) -> float:
        calls.append("value")
        return 0.0

    monkeypatch.setitem(MEASURES, "known", Measure(value, ("images",), of_real=of_real))
    timing = impatient()
    timing.measure("known", {"n": 50}, "mnist", Experiment.from_config(config).classifiers["mnist"])
    call = next(iter(timing.watch.probes.values())).prepare(20)
    assert calls == ["real"]
    call()
    assert calls == ["real", "value"]


def test_timing_a_tiny_experiment_gives_a_whole_forecast(config, monkeypatch) -> None:
    monkeypatch.setattr(probes, "SECONDS", 1.0)
    config["runs"] = {"wgan": config["runs"]["wgan-1"] | {"seeds": [0, 1]}}
    experiment = Experiment.from_config(config)
    timing, run = probes.Timing(NEEDS, device=CPU), experiment.runs["wgan"]
    best, worst = timing.forecast(experiment)
    for kind in ("train", "sample", "measure", "chain"):
        low, high = (getattr(found.runs["wgan"], kind) for found in (best, worst))
        assert 0 < low < high < math.inf
    assert best.other > best.runs["wgan"].measure
    tensors, _ = new_model(run.spec.model, (1, 28, 28), 0, 1, CPU).state()
    assert timing.pace(experiment, run).weights == sum(array.nbytes for array in tensors.values())


def test_simulated_runs_are_forecast_with_their_blocks_and_bytes(monkeypatch) -> None:
    monkeypatch.setattr(probes, "SECONDS", 1.0)
    experiment = read(KNOWN)
    best, worst = probes.Timing(NEEDS, device=CPU).forecast(experiment)
    for name, run in experiment.runs.items():
        assert 0 < best.runs[name].train < worst.runs[name].train
        assert 0 < best.runs[name].chain < worst.runs[name].chain < math.inf
        part = Lineages.fresh(run.spec, run.blocks()[0].seeds)
        part.advance(lambda line: None)
        kept = sum(array.nbytes for array in part.model.state().values())
        assert best.runs[name].kept == kept * len(run.blocks())
    assert best.disk["simulations"] == sum(run.kept for run in best.runs.values())


def test_a_simulated_training_is_timed_at_as_few_steps_as_there_is_time_for(monkeypatch) -> None:
    steps = Counter()
    learn = Lineages.learn

    def counted(self: Lineages, report: Callable[[str], None]) -> None:
        steps[self.run.model.family] = max(steps[self.run.model.family], self.run.loop.budget.retrain.images)
        learn(self, report)

    monkeypatch.setattr(Lineages, "learn", counted)
    impatient().forecast(read(KNOWN))
    assert steps["otcfm"] == 32  # one batch, where a training has 31 of them


def test_of_lineages_from_elsewhere_no_training_is_timed(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("1.safetensors", "1.npy"):
        Path(name).touch()
    run = {"dataset": "mnist", "generations": 1}
    config["runs"] = {
        "weights": run | {"model": "wgan-tiny-1", "weights": "{t}.safetensors", "samples": 600},
        "samples": run | {"generated": "{t}.npy", "samples": 600},
    }
    del config["loops"], config["figures"]["losses"]
    timing = probes.Timing(NEEDS, device=CPU)
    found = timing._forecast(Experiment.from_config(config))
    words = {work.words for work in timing.watch.probes.values()}
    assert {"sampling weights", "critic of weights"} <= words
    assert not any(words.startswith("training ") and "classifier" not in words for words in words)
    # Of one generation each: its weights; 28 × 28 pixels of 2 bytes of 600 samples, which the preview holds, too.
    assert found.disk["samples"] == found.disk["previews"] == 2 * 600 * 28 * 28 * 2
    assert found.disk["weights"] > 0


def test_networks_with_features_are_timed_once_for_all_measures_and_their_features_counted(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.pth").write_bytes(b"weights")
    network = {"torchvision": "squeezenet1_1", "weights": str(tmp_path / "weights.pth")}
    config["runs"] = {"vae": config["runs"]["vae"] | {"seeds": [0]}}
    config["figures"] = {"losses": None}
    config["measures"] = {
        "fid": {"n": 100, "features": network},
        "precision": {"n": 300, "k": 3, "features": network},
        "spacing": {"n": 50},
    }
    seen: list[int] = []
    timing, experiment = impatient(), Experiment.from_config(config)
    untrained = probes.FEATURES["torchvision"].untrained

    def counted(self: Any, *given: Any) -> Callable[[np.ndarray], np.ndarray]:
        look = untrained(*given)

        def features(images: np.ndarray) -> np.ndarray:
            seen.append(len(images))
            return look(images)

        return features

    monkeypatch.setattr(type(probes.FEATURES["torchvision"]), "untrained", counted)
    best, _ = timing.forecast(experiment)
    looking = [work for work in timing.watch.probes.values() if "torchvision features" in work.words]
    assert [work.size for work in looking] == [300]
    looking[0].prepare(120)()
    assert seen[-3:] == [50, 50, 20]
    # 300 × 512 of the network, and of the classifier 50 × (84 features and 10 classes), 4 bytes each
    judge = experiment.classifiers["mnist"]
    assert best.disk["features"] == 3 * 4 * (300 * 512 + 50 * (judge.features + 10))
    assert math.isfinite(best.other)


def test_of_stacked_digits_each_plane_is_judged_by_the_classifier_of_its_source(
    config: dict[str, Any],
) -> None:
    config["datasets"] = {"digits": {"source": "stacked"}}
    config["runs"] = {"vae": config["runs"]["vae"] | {"dataset": "digits", "seeds": [0]}}
    config["figures"] = {"losses": None}
    config["measures"] = {"stacked_modes": {"n": 200}}
    timing, experiment = impatient(), Experiment.from_config(config)
    best, _ = timing.forecast(experiment)
    words = {work.words for work in timing.watch.probes.values()}
    assert {"the classifier of mnist", "stacked_modes of stacked"} <= words
    assert not any("classifier of stacked" in said for said in words)
    generations = experiment.runs["vae"].generations
    assert best.disk["features"] == generations * 200 * 3 * 10 * 4  # probabilities as float32
