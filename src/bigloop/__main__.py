"""The command line: parse, log, call. `python -m bigloop VERB --help` says what each verb takes.

The workflow calls these verbs; a person may, too, and has more in ops/verbs.py. Heavy imports stand inside the verbs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from typing import TypeVar

from bigloop import __version__
from bigloop.artifacts import OPTIMIZER_FILE, ArtifactError, folder_of, write_json
from bigloop.data import DataError
from bigloop.ops import verbs as _of_a_person  # noqa: F401  # they register themselves
from bigloop.runtime import processes, teams
from bigloop.runtime.arguments import (
    BLACK_WHITE,
    CONFIG,
    DATA,
    EVERY_VERB,
    HOME,
    KEEP_SAMPLES,
    OUT,
    SAVE_EVERY,
    SPEC,
    VERBS,
    files,
    option,
    path,
    verb,
)
from bigloop.runtime.job import begin, take_share
from bigloop.runtime.signals import DivergedError, FinalError
from bigloop.spec import generations, jobs
from bigloop.spec.options import SpecError, parse
from bigloop.spec.registry import load_plugins
from bigloop.spec.runs import source_of

log = logging.getLogger("bigloop")
Spec = TypeVar("Spec")
# Failures that another attempt cannot mend.
PERMANENT = (SpecError, ArtifactError, DataError, DivergedError, FinalError)


BENCHED = "steps, pictures, large, remedies, jobs, loop, together, measures, growth"


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit status. What a user can cause ends in one line on stderr, without a traceback."""
    words = teams.arguments_given() or arguments or sys.argv[1:]
    options = _parser().parse_args(words)
    if workflow := os.environ.get(processes.WORKFLOW):
        processes.follow(int(workflow))
    with begin(options.log, options.verb.call.__name__.rstrip("_"), options.attempt) as job:
        options.waited, options.report = job.waited, job.report
        options.gpus = max(options.gpus or 0, 1) if "gpu" in options.gres else options.gpus
        options.here, options.words = take_share(options.threads, options.gpus), words
        return job.run(lambda: _start(options), lambda: options.verb.call(options), PERMANENT)


def _start(options: argparse.Namespace) -> None:
    load_plugins()
    for module in options.verb.needs:
        importlib.import_module(module)


@verb(
    option("--dataset", "a source's name, or a dataset's spec as JSON", required=True),
    # nargs: Snakemake's :q leaves nothing of an empty word
    path("root", "where its files are; nothing is downloaded then", False, metavar="ROOT", nargs="?"),
    OUT,
)
def fetch(options: argparse.Namespace) -> None:
    """Find, verify and store a real dataset."""
    from bigloop.data import store

    data = store.data_of(options.dataset)
    found = store.fetch(data, options.out, options.root)
    options.report(f"{source_of(data)} verified and stored, from {found}")


@verb(SPEC, DATA, OUT, SAVE_EVERY, needs=("bigloop.measures.classify",))
def classify(options: argparse.Namespace) -> None:
    """Train the CNN that classifies images."""
    from bigloop.measures import classify as room

    spec = _spec(jobs.ClassifierSpec, options)
    test_accuracy = room.classify(spec, options.data, options.out, options.report, options.save_every)
    options.report(f"accuracy on the test set: {100 * test_accuracy:.2f} %")


@verb(
    SPEC,
    *(DATA, OUT),
    files("previews", "preview.safetensors of each generation that the loop uses"),
    files("selections", "selected.safetensors of each of them, where the loop selects"),
    files("previous", "model files of the generation that this one continues from, all in one folder"),
    files("outputs", f"{OPTIMIZER_FILE} among them: keep the state of the optimisers, to continue from"),
    *(SAVE_EVERY, KEEP_SAMPLES),
    option("--snapshots", "epochs between two snapshots", type=float, default=0.0, metavar="EPOCHS"),
    needs=("bigloop.generation.train",),
)
def train(options: argparse.Namespace) -> None:
    """Train the model of one generation."""
    from bigloop.generation import train as room
    from bigloop.generation.store import prune
    from bigloop.ops import together

    spec = _spec(generations.TrainSpec, options)
    keep = OPTIMIZER_FILE in {path.name for path in options.outputs}
    if options.waited and room.is_trained(spec, options.out, keep):
        options.report("another worker has already trained this generation")
        return
    previews, state = options.previews, (options.save_every, folder_of(options.previous), keep)
    if not together.shared("train", options):
        given = *state, options.snapshots, options.selections
        room.train(spec, options.data, previews, options.out, options.report, *given)
    if spec.synthetic and previews:
        needed = spec.synthetic.sources(spec.generation + 1)
        prune(previews[0].parent.parent, range(1, spec.generation), needed, options.keep_samples)


@verb(SPEC, path("weights", "safetensors file"), DATA, OUT, needs=("bigloop.generation.train",))
def import_(options: argparse.Namespace) -> None:
    """Import weights trained elsewhere as a generation."""
    from bigloop.generation.train import import_weights

    import_weights(
        _spec(generations.TrainSpec, options), options.weights, options.data, options.out, options.report
    )


@verb(SPEC, path("samples", "file with samples"), OUT, needs=("bigloop.generation.elsewhere",))
def import_samples(options: argparse.Namespace) -> None:
    """Import samples generated elsewhere as a generation."""
    from bigloop.generation import elsewhere

    elsewhere.import_samples(
        _spec(generations.ImportSpec, options), options.samples, options.out, options.report
    )


@verb(SPEC, path("model", "folder of the model"), OUT, SAVE_EVERY, needs=("bigloop.generation.auxiliary",))
def train_auxiliary(options: argparse.Namespace) -> None:
    """Train a generation's model further on samples of its own, to be sampled away from."""
    from bigloop.generation import auxiliary as room

    spec = _spec(generations.AuxiliarySpec, options)
    room.train_auxiliary(spec, options.model, options.out, options.report, options.save_every)


@verb(
    SPEC,
    path("model", "folder of the model"),
    OUT,
    SAVE_EVERY,
    path(
        "auxiliary",
        "auxiliary.safetensors of the generation, where it is drawn away from one",
        False,
        nargs="?",
    ),
    needs=("bigloop.generation.sample",),
)
def sample(options: argparse.Namespace) -> None:
    """Sample one generation."""
    from bigloop.generation import sample as room
    from bigloop.ops import together

    spec = _spec(generations.SampleSpec, options)
    if options.waited and room.is_sampled(spec, options.out):
        options.report("another worker has already sampled this generation")
        return
    if not together.shared("sample", options):
        given = options.model, options.out, options.report, options.save_every
        room.sample(spec, *given, options.auxiliary)


@verb(
    SPEC,
    path("preview", "preview.safetensors of the generation"),
    files("classifier", "the classifier's folder, or files in it, where scores look through it"),
    path("data", "folder of the stored dataset"),
    OUT,
    path("let-through", "selected.safetensors of the loop's real rows, where it filters", False, nargs="?"),
    needs=("bigloop.generation.select",),
)
def select(options: argparse.Namespace) -> None:
    """Select which samples of a generation are handed on."""
    from bigloop.generation import select as room

    spec, judge = _spec(generations.SelectionSpec, options), folder_of(options.classifier)
    given = options.preview, judge, options.data, options.out, options.report, options.let_through
    room.select(spec, *given)


@verb(
    SPEC,
    files("classifier", "the classifier's folder, or files in it, where scores look through it"),
    path("data", "folder of the stored dataset"),
    OUT,
    needs=("bigloop.generation.select",),
)
def filter_(options: argparse.Namespace) -> None:
    """Select which rows of a dataset are the real rows of a loop."""
    from bigloop.generation.select import filter_real

    judge = folder_of(options.classifier)
    filter_real(_spec(generations.FilterSpec, options), judge, options.data, options.out, options.report)


@verb(SPEC, OUT, SAVE_EVERY, needs=("bigloop.simulation.simulate",))
def simulate(options: argparse.Namespace) -> None:
    """Simulate a block of seeds and generations of a run on a known density."""
    from bigloop.simulation.simulate import simulate as run_block

    run_block(_spec(jobs.SimulateSpec, options), options.out, options.report, options.save_every)


@verb(
    option("--spec", "the job's specification", metavar="JSON"),
    path("out", "JSON file to write"),
    path("samples", "file or folder with the images", False),
    files("model", "the generation's model, its folder or files in it; none of samples alone"),
    files("first", "the model of generation 1, likewise"),
    path("data", "folder of the stored dataset (default: under results/data)", False),
    files("classifier", "the classifier's folder, or files in it; none for data without classes"),
    files("judges", "likewise, of the classifiers of other datasets"),
    files("others", "samples of the same generation of the other members of an ecosystem"),
    path("selection", "selected.safetensors of the generation, where its loop selects", False, nargs="?"),
    option("--floor", "measure real data against real data", action="store_true"),
    option("--density", "measure a known density against itself", action="store_true"),
    option("--dataset", "for images from elsewhere: the real data, a source or one of the config's"),
    path("configfile", "for images from elsewhere: the config that names the dataset", False, default=CONFIG),
    option(
        "--range",
        "for images from elsewhere: pixel values of black and white; uint8 is always 0 255 (default: 0 1)",
        **BLACK_WHITE,
    ),
    option("--n", "for images from elsewhere: rows on each side, for every measure", type=int),
    needs=("bigloop.measures.images", "ot"),
)
def measure(options: argparse.Namespace) -> None:
    """Measure a generation, the real-vs-real floor (--floor), or images from elsewhere (--samples and --dataset)."""
    from bigloop.measures import elsewhere, images, points
    from bigloop.ops.survey import dataset_named

    judge, model, first = map(folder_of, (options.classifier, options.model, options.first))
    real, judges = (judge, options.data), images.by_name(options.judges)
    if options.density:
        records = points.measure_density(_spec(jobs.DensityFloorSpec, options))
    elif options.floor:
        records = images.measure_real(_spec(jobs.FloorSpec, options, "data"), *real, options.report, judges)
    elif options.spec:
        spec = _spec(jobs.MeasureSpec, options, "samples", "data")
        of = spec, options.samples, model, *real
        records = images.measure(*of, options.report, first, judges, options.selection, options.others)
    elif not (options.samples and options.dataset):
        raise SpecError("measure: expected --samples FILE and --dataset NAME (or --spec, from the workflow)")
    else:
        data, features = dataset_named(options.dataset, options.configfile)
        given = options.samples, data, options.range, *real, options.n
        records = elsewhere.measure_file(*given, options.report, features)
    write_json(options.out, records)
    options.report(f"{len(records)} records written to {options.out}")


@verb(SPEC, HOME, path("out", "JSON file to write"), needs=("bigloop.measures.critics",))
def critics(options: argparse.Namespace) -> None:
    """Classify the samples of one run with the critics of another."""
    from bigloop.measures import critics as room

    spec = _spec(jobs.CriticsSpec, options)
    write_json(options.out, room.critics(spec, options.home.parent / "runs", options.report))


@verb(SPEC, HOME, KEEP_SAMPLES, needs=("bigloop.analysis.tables",))
def collect(options: argparse.Namespace) -> None:
    """Gather an experiment's measures into its tables."""
    from bigloop.analysis import tables
    from bigloop.generation.store import prune

    spec, results = _spec(jobs.CollectSpec, options), options.home.parent
    tables.collect(spec, results)
    for run in spec.runs:
        for seed in run.seeds if not run.blocks else ():
            lineage = results / "runs" / run.spec.folder / f"seed-{seed}"
            prune(lineage, range(1, run.generations), (), options.keep_samples)


@verb(SPEC, HOME, needs=("bigloop.figures.files",))
def plot(options: argparse.Namespace) -> None:
    """Draw one figure from an experiment's tables and previews, as PDF and PNG."""
    from bigloop.figures.files import write_figure

    write_figure(_spec(jobs.PlotSpec, options), options.home.parent, options.report)


@verb(SPEC, HOME, needs=("bigloop.figures.explorer",))
def explore(options: argparse.Namespace) -> None:
    """Write the page in which an experiment can be looked at, explorer.html."""
    from bigloop.figures.explorer import explore as write

    write(_spec(jobs.ExploreSpec, options), options.home.parent, options.report)


@verb(
    option("sections", f"{BENCHED} (default: all)", nargs="*", metavar="NAME"),
    option("--quick", "small sizes, once each: a first look", action="store_true"),
    path("out", "write the figures as JSON, too", False, metavar="FILE"),
    path("data", "folder of the stored MNIST (default: results/data/mnist)", False, metavar="DATA"),
    option("--rounds", "how often each step is timed (default: 3)", type=int, default=3),
)
def bench(options: argparse.Namespace) -> None:
    """Measure how fast each part works on this machine: training, start-up, the loop, measures, and how they grow."""
    from bigloop.bench import main as run_bench

    run_bench(options, {name: known.needs for name, known in VERBS.items() if known.needs})


def _spec(cls: type[Spec], options: argparse.Namespace, *needed: str) -> Spec:
    if missing := [f"--{name}" for name in ("spec", *needed) if getattr(options, name) is None]:
        raise SpecError(f"measure: give {', '.join(missing)}, too")
    try:
        return parse(cls, json.loads(sys.stdin.read() if options.spec == "-" else options.spec), "spec")
    except json.JSONDecodeError as error:
        raise SpecError(f"--spec: not JSON ({error})") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bigloop", description="Model collapse as a workflow.")
    parser.add_argument("--version", action="version", version=f"bigloop {__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="VERB")
    for name, known in VERBS.items():
        words = known.call.__doc__ or ""
        added = subparsers.add_parser(name, help=words.splitlines()[0], description=words)
        added.set_defaults(verb=known)
        for argument, settings in (*EVERY_VERB, *known.arguments):
            added.add_argument(argument, **settings)
    return parser


if __name__ == "__main__":
    sys.exit(main())
