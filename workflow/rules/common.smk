# The experiment that the config describes, and how rules find their inputs in it. No rules here.

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from bigloop.artifacts import AUXILIARY_FILE, MODEL_FILES, OPTIMIZER_FILE
from bigloop.config.experiment import Experiment
from bigloop.ops import resources
from bigloop.spec.generations import (
    AuxiliarySpec,
    FilterSpec,
    ImportSpec,
    SampleSpec,
    SelectionSpec,
    TrainSpec,
)
from bigloop.spec.options import SpecError, to_json
from bigloop.spec.registry import declared
from bigloop.spec.runs import data_folder

try:
    experiment = Experiment.from_config(config)
except SpecError as error:
    sys.exit(f"config error: {error}")

if workflow.is_main_process and (warning := resources.planning_warning(experiment)):
    print(warning, file=sys.stderr, flush=True)

HOME = f"results/{experiment.name}"
DATA = "results/data/{data}"
GENERATION = "results/runs/{folder}/seed-{seed}/gen-{t}"
BLOCK = "results/runs/{folder}/{block}"

# A folder stands for one science, whatever its runs are called; a first generation may belong to many runs.
by_folder = {run.spec.folder: run for run in experiment.trained}
by_first_folder = {run.spec.model_folder(1): run for run in experiment.trained}
by_data = {images.folder: images for images in experiment.datasets.values()}
judges = {spec.folder: spec for spec in experiment.classifiers.values()}
imported = {folder: run for folder, run in by_first_folder.items() if run.file(run.seeds[0], 1)}  # from files
given_samples = {folder for folder, run in imported.items() if not run.spec.has_model}  # the others: weights
by_block = {
    (run.spec.folder, block.folder): (run, block) for run in experiment.simulated for block in run.blocks()
}
selecting = {folder for folder, run in by_folder.items() if run.spec.loop and run.spec.loop.select}
filtering = {run.spec.filter_folder: run for run in experiment.trained if run.spec.filter_folder}
opposing = {
    run.spec.auxiliary_folder(t): run
    for run in experiment.trained
    if run.spec.loop and run.spec.loop.against
    for t in range(1, run.generations + 1)
}
continuing = {  # folders of models that a later generation continues from
    folder
    for run in experiment.trained
    if run.spec.continues
    for folder in (run.spec.folder, run.spec.model_folder(1))
}


def one_of(names):
    """A pattern that matches these names and no others."""
    return "|".join(map(re.escape, names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(experiment.images),
    data=one_of(by_data),
    classifier=one_of(judges),
    seed=r"\d+",
    t=r"[1-9]\d*",
    folder=one_of([*by_folder, *by_first_folder, *(folder for folder, _ in by_block)]),
    block=r"seeds-\d+-\d+/gens-\d+-\d+",
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
    return f"results/data/{run.images.folder}/{split}.safetensors"


def generation(folder, seed, t, file):
    return f"results/runs/{folder}/seed-{seed}/gen-{t}/{file}"


def model_files(run, seed, t):
    """The weights of a generation, their record and their history; none where its samples alone are given."""
    return run.spec.has_model * [
        generation(run.spec.model_folder(int(t)), seed, t, name) for name in MODEL_FILES
    ]


def settled(run, files):
    """Inputs from a run's folder: files that are remade there are the same; not so where others' files may change."""
    return files if run.spec.elsewhere else ancient(files)


def first_model_files(run, seed):
    """The model of generation 1, where it is measured how far weights are from it; of runs trained here, always."""
    moved = any("parameters" in declared("measures")[name].on for name in experiment.resolved(run))
    return model_files(run, seed, 1) if moved or not run.spec.elsewhere else []


def continued_files(wildcards):
    """The model that this generation continues from, and the state of its optimisers where there is one."""
    run, t = trained_run(wildcards), int(wildcards.t) - 1
    if not t or not run.spec.continues:
        return []
    files, folder = model_files(run, wildcards.seed, t), run.spec.model_folder(t)
    optimizer = [] if folder in imported else [generation(folder, wildcards.seed, t, OPTIMIZER_FILE)]
    return files + optimizer


def given_file(wildcards):
    """The file that a generation is imported from: relative to the working directory, also in a module with a prefix."""
    return local(imported[wildcards.folder].file(int(wildcards.seed), int(wildcards.t)))


def classifier(dataset):
    """The files of the classifier of a dataset; none where it has no classes."""
    return trained([experiment.classifiers[dataset].folder] if dataset in experiment.classifiers else [])


def trained(classifiers):
    """The files of these classifiers, by their folders."""
    names = ("reference.safetensors", "model.safetensors", "model.json")
    return [f"results/classifier/{folder}/{name}" for folder in classifiers for name in names]


def train_spec(wildcards):
    run, place = trained_run(wildcards), (int(wildcards.seed), int(wildcards.t))
    return TrainSpec.of(run.spec, *place, run.file_bytes(*place))


def import_spec(wildcards):
    run, place = run_of(wildcards), (int(wildcards.seed), int(wildcards.t))
    return ImportSpec.of(run.spec, *place, run.file_bytes(*place))


def selection_spec(wildcards):
    return SelectionSpec.of(run_of(wildcards).spec, int(wildcards.seed), int(wildcards.t))


def filter_spec(wildcards):
    return FilterSpec.of(filtering[wildcards.folder].spec, int(wildcards.seed))


def auxiliary_spec(wildcards):
    return AuxiliarySpec.of(run_of(wildcards, opposing).spec, int(wildcards.seed), int(wildcards.t))


def auxiliary_file(wildcards):
    """The weights of the model that a generation is sampled away from, where it is."""
    beside = run_of(wildcards).spec.auxiliary_folder(int(wildcards.t))
    return [generation(beside, wildcards.seed, wildcards.t, AUXILIARY_FILE)] if beside else []


def sample_spec(wildcards):
    return SampleSpec.of(run_of(wildcards).spec, int(wildcards.seed), int(wildcards.t))


def to_come(wildcards):
    """Generations that wait for this one to be trained and sampled: the longest chain goes first.

    Measurements come after what others wait for, and fill the cores that are left.
    """
    run = by_folder.get(wildcards.folder) or opposing.get(wildcards.folder) or trained_run(wildcards)
    return 1 + run.generations - int(wildcards.t)


def training_previews(wildcards):
    """The previews of the earlier generations whose samples this one trains on.

    Not the samples themselves: they may be deleted, and the job draws them again. As inputs, a deleted file
    that is remade for another job would make this one run again.
    """
    return handed_on(wildcards, "preview.safetensors", [*members(trained_run(wildcards))])


def training_selections(wildcards):
    """Of a loop that selects, which of the samples of those generations are handed on; and of one that filters, which
    rows of the dataset are its real ones."""
    run = trained_run(wildcards)
    selecting = [j for j, member in members(run).items() if member.spec.looped.select]
    real = let_through(run, wildcards.seed) if train_spec(wildcards).filtered else []
    return real + handed_on(wildcards, "selected.safetensors", selecting)


def let_through(run, seed):
    """Which rows of the dataset are real rows of a run, where its loop filters them."""
    folder = run.spec.filter_folder
    return [generation(folder, seed, 0, "selected.safetensors")] if folder else []


def handed_on(wildcards, file, chosen):
    """This file of the earlier generations that this one trains on the samples of, of the chosen members."""
    run = trained_run(wildcards)
    several = members(run)
    return [
        generation(several[j].spec.folder, wildcards.seed, t, file)
        for j, t in pairs(train_spec(wildcards).sources)
        if j in chosen
    ]


def members(run):
    """The runs of all members of a run's ecosystem, by their numbers; of one alone, the run itself."""
    return {j: experiment.runs[name] for j, name in enumerate(run.siblings)} or {0: run}


def pairs(sources):
    """(member, generation) of what synthetic rows come from."""
    return [source if isinstance(source, tuple) else (0, source) for source in sources]


def others(wildcards):
    """The samples of the same generation of the other members of an ecosystem, and what of them is measured."""
    run = run_of(wildcards)
    measured = any("others" in declared("measures")[name].on for name in experiment.resolved(run))
    names = ["samples.safetensors", "preview.safetensors"] + run.of_selected * ["selected.safetensors"]
    return [
        generation(other.spec.folder, wildcards.seed, wildcards.t, name)
        for other in (members(run).values() if measured else ())
        if other.spec.folder != run.spec.folder
        for name in names
    ]


def selection(wildcards):
    """What a generation hands on, where its loop selects."""
    run = run_of(wildcards)
    known = bool(run.spec.loop and run.spec.loop.select)
    return known * [generation(wildcards.folder, wildcards.seed, wildcards.t, "selected.safetensors")]


def selecting_classifier(wildcards):
    """The classifier that a loop's selection looks through."""
    return judge_of(run_of(wildcards).spec.looped.select)


def judge_of(selection):
    return trained([selection.classifier] if selection.classifier else [])


def judged_previews(wildcards):
    run = experiment.runs[wildcards.generator]
    return generations("preview.safetensors", [run], [int(wildcards.seed)])


def judging_models(wildcards):
    run = experiment.runs[wildcards.critic]
    return [file for t in range(1, run.generations + 1) for file in model_files(run, wildcards.seed, t)]


def classifier_files():
    return [file for dataset in experiment.classifiers for file in classifier(dataset)]


def generations(file, runs=None, seeds=None):
    """This file of every generation of every run on images, or of the given ones."""
    return [
        generation(run.spec.folder, seed, t, file)
        for run in (experiment.trained if runs is None else runs)
        for seed, t in run.jobs()
        if seeds is None or seed in seeds
    ]


def block_files(file):
    """This file of every block of every simulated run."""
    return [f"results/runs/{folder}/{block}/{file}" for folder, block in by_block]


def block_of(wildcards):
    """The run and the block that a simulating job makes."""
    key = (wildcards.folder, wildcards.block)
    if key not in by_block:
        raise WorkflowError(f"{wildcards.folder} has no block {wildcards.block} in this config")
    return by_block[key]


def block_before(wildcards):
    """What the same seeds left at the end of the block of generations before this one."""
    run, block = block_of(wildcards)
    before = [other for other in run.blocks() if (other.seeds, other.last + 1) == (block.seeds, block.first)]
    return [f"results/runs/{run.spec.folder}/{other.folder}/state.safetensors" for other in before]


def critic_files():
    return [f"{HOME}/critics/{c}-judges-{g}-seed-{s}.json" for c, g, s in experiment.critic_pairs()]


def figure_files():
    figures = [f"{HOME}/figures/{name}.{suffix}" for name in experiment.figures for suffix in ("pdf", "png")]
    return figures + [file for name in experiment.figures for file in film(name)]


def film(figure):
    """The GIF of a figure that is a film; none of others. (An MP4 beside it is no output: not every machine can make it.)"""
    return [f"{HOME}/figures/{figure}.gif"] if declared("figures")[experiment.kinds[figure]].animated else []


def explorer_files():
    return [f"{HOME}/explorer.html"] if experiment.explorer else []


def previews(seeds=1):
    """The first images of every generation of each run's first seeds, and the real images beside them."""
    runs = experiment.trained
    shown = [f for run in runs for f in generations("preview.safetensors", [run], run.seeds[:seeds])]
    return [*shown, *(data(run, "test") for run in runs)]


def story():
    """The first page of the report, which calls this: HTML, from tables and figures."""
    from bigloop.figures.story import story as told

    return told(experiment.name, Path(rules.collect.output.measures).parents[2], experiment.figures)
