# The experiment that the config describes, and how rules find their inputs in it. No rules here.

import os
import re
import sys
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError

from bigloop.experiment import Experiment
from bigloop.figures import plot
from bigloop.spec import PlotSpec, SpecError, to_dict, to_json

# The jobs' python is the one that runs Snakemake, also where its environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))

try:
    with open(workflow.source_path("../schemas/config.schema.yaml")) as file:
        experiment = Experiment.from_config(config, yaml.safe_load(file))
except SpecError as error:
    sys.exit(f"config error: {error}")

HOME = f"results/{experiment.name}"
DATA = "results/data/{dataset}"
GENERATION = "results/runs/{folder}/seed-{seed}/gen-{t}"

# A folder stands for one science, whatever its runs are called; a first generation may belong to many runs.
by_folder = {run.spec.folder: run for run in experiment.runs.values()}
by_first_folder = {run.spec.first.folder: run for run in experiment.runs.values()}


def one_of(names):
    """A pattern that matches these names and no others."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(experiment.classifiers),
    seed=r"\d+",
    t=r"\d+",
    folder=one_of([*by_folder, *by_first_folder]),
    critic=one_of(experiment.runs),
    generator=one_of(experiment.runs),


def run_of(wildcards, folders=by_folder):
    """The run that a generation's folder belongs to."""
    if wildcards.folder not in folders:
        raise WorkflowError(f"{wildcards.folder} has no such file for generation {wildcards.t}")
    return folders[wildcards.folder]


def trained_run(wildcards):
    """The run whose model is trained in a folder: a first generation has a folder of its own."""
    return run_of(wildcards, by_first_folder if wildcards.t == "1" else by_folder)


def data(run, split="train"):
    return f"results/data/{run.spec.dataset}/{split}.safetensors"


def generation(folder, seed, t, file):
    return f"results/runs/{folder}/seed-{seed}/gen-{t}/{file}"


def model(run, seed, t):
    return generation(run.spec.model_folder(int(t)), seed, t, "model.safetensors")


def classifier(dataset):
    return f"results/classifier/{experiment.classifiers[dataset].folder}/reference.safetensors"


def training_samples(wildcards):
    """The samples files of the earlier generations that this one trains on."""
    run = trained_run(wildcards)
    return [
        generation(run.spec.folder, wildcards.seed, t, "samples.safetensors")
        for t in run.spec.loop.synthetic.sources(int(wildcards.t))
    ]


def judged_samples(wildcards):
    run = experiment.runs[wildcards.generator]
    return generations("samples.safetensors", [run], [int(wildcards.seed)])


def judging_models(wildcards):
    run = experiment.runs[wildcards.critic]
    return [model(run, wildcards.seed, t) for t in range(1, run.generations + 1)]


def classifier_files():
    return [classifier(dataset) for dataset in experiment.classifiers]


def generations(file, runs=None, seeds=None):
    """This file of every generation of every run, or of the given ones."""
    return [
        generation(run.spec.folder, seed, t, file)
        for run in runs or experiment.runs.values()
        for seed, t in run.jobs()
        if seeds is None or seed in seeds
    ]


def critic_files():
    return [f"{HOME}/critics/{c}-judges-{g}-seed-{s}.json" for c, g, s in experiment.critic_pairs()]


def figure_files():
    return [f"{HOME}/figures/{name}.{suffix}" for name in experiment.figures for suffix in ("pdf", "png")]


def previews():
    """The first images of every generation of each run's first seed, and the real images beside them."""
    runs = experiment.runs.values()
    shown = [f for run in runs for f in generations("preview.safetensors", [run], run.seeds[:1])]
    return [*shown, *(data(run, "test") for run in runs)]
