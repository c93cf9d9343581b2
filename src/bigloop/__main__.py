"""The command line: parse, log, call. `python -m bigloop VERB --help` says what each verb takes.

The workflow calls these verbs; a person may, too. Heavy imports stand inside the verbs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
import time
from pathlib import Path

from bigloop import __version__
from bigloop.artifacts import OPTIMIZER_FILE, ArtifactError, write_json
from bigloop.data import DataError
from bigloop.runtime import processes
from bigloop.runtime.job import FINAL, job_log, take_share
from bigloop.runtime.signals import SAVE_SECONDS
from bigloop.spec.options import SpecError, parse
from bigloop.spec.registry import load_plugins

log = logging.getLogger("bigloop")

# What a verb imports before its work begins: its start-up. Nothing heavy is imported for another verb's sake.
NEEDS = {
    "classify": ("bigloop.measures.classify",),
    "train": ("bigloop.generation.train",),
    "import": ("bigloop.generation.train",),
    "sample": ("bigloop.generation.sample",),
    "measure": ("bigloop.measures.images", "ot"),
    "critics": ("bigloop.measures.critics",),
    "simulate": ("bigloop.simulation.simulate",),
    "collect": ("bigloop.analysis.tables",),
    "plot": ("bigloop.figures.make",),
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit status. What a user can cause ends in one line on stderr, without a traceback."""
    options = _parser().parse_args(arguments)
    if workflow := os.environ.get(processes.WORKFLOW):
        processes.follow(int(workflow))
    with job_log(options.log, options.attempt) as begun:
        if begun.failed:
            log.error("%snot tried again, because it failed permanently: %s", FINAL, begun.failed)
            return 1
        options.waited = begun.waited
        take_share(options.threads, 1 if "gpu" in options.gres else options.gpus)
        return _call(options)


def _call(options: argparse.Namespace) -> int:
    try:
        load_plugins()
        for module in options.needs:
            importlib.import_module(module)
        before, started = processes.process_age(), time.monotonic()
        options.verb(options)
        log.debug("worked %.2f s, after %.2f s of start-up", time.monotonic() - started, before)
    except (SpecError, ArtifactError, DataError) as error:
        log.error("%s%s", FINAL, error)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted")
        return 130
    except Exception as error:
        from bigloop.runtime.signals import Interrupted
        from bigloop.training.loop import DivergedError

        if isinstance(error, DivergedError):
            log.error("%s%s", FINAL, error)
            return 1
        if isinstance(error, Interrupted):
            log.error("%s", error)
            return 143
        raise
    return 0


def fetch(options: argparse.Namespace) -> None:
    """Find, verify and store a real dataset."""
    from bigloop.data.store import fetch as room
    from bigloop.spec.runs import DatasetSpec, source_of

    data = options.dataset
    if data.startswith("{"):
        data = parse(DatasetSpec, json.loads(data), "dataset")
    log.info("%s verified and stored, from %s", source_of(data), room(data, options.out, options.root))


def classify(options: argparse.Namespace) -> None:
    """Train the CNN that judges images."""
    from bigloop.measures import classify as room
    from bigloop.spec.jobs import ClassifierSpec

    spec = _spec(ClassifierSpec, options)
    test_accuracy = room.classify(spec, options.data, options.out, log.info, options.save_every)
    log.info("accuracy on the test set: %.2f %%", 100 * test_accuracy)


def train(options: argparse.Namespace) -> None:
    """Train the model of one generation."""
    from bigloop.generation import train as room
    from bigloop.generation.store import prune
    from bigloop.spec.jobs import TrainSpec

    spec = _spec(TrainSpec, options)
    keep_optimizer = OPTIMIZER_FILE in {path.name for path in options.outputs}
    if options.waited and room.is_trained(spec, options.out, keep_optimizer):
        log.info("the other worker has trained this generation")
        return
    previews = options.previews
    room.train(
        spec,
        options.data,
        previews,
        options.out,
        log.info,
        options.save_every,
        options.previous[0].parent if options.previous else None,
        keep_optimizer,
    )
    if spec.synthetic and previews:
        needed = spec.synthetic.sources(spec.generation + 1)
        prune(previews[0].parent.parent, range(1, spec.generation), needed, options.keep_samples)


def import_(options: argparse.Namespace) -> None:
    """Take over weights trained elsewhere as a first generation."""
    from bigloop.generation.train import import_weights
    from bigloop.spec.jobs import TrainSpec

    spec = _spec(TrainSpec, options)
    import_weights(spec, options.weights, options.data, options.out, log.info)


def sample(options: argparse.Namespace) -> None:
    """Sample one generation."""
    from bigloop.generation import sample as room
    from bigloop.spec.jobs import SampleSpec

    spec = _spec(SampleSpec, options)
    if options.waited and room.is_sampled(spec, options.out):
        log.info("the other worker has sampled this generation")
        return
    room.sample(spec, options.model, options.out, log.info, options.save_every)


def simulate(options: argparse.Namespace) -> None:
    """Simulate a block of seeds and generations of a run on a known density."""
    from bigloop.simulation.simulate import simulate as run_block
    from bigloop.spec.jobs import SimulateSpec

    run_block(_spec(SimulateSpec, options), options.out, log.info, options.save_every)


def measure(options: argparse.Namespace) -> None:
    """Measure a generation, the real floor (--floor), or images from elsewhere (--samples and --dataset)."""
    from bigloop.measures import images
    from bigloop.spec.jobs import DensityFloorSpec, FloorSpec, MeasureSpec

    if options.density:
        from bigloop.measures.points import measure_density

        _require(options, "spec")
        records = measure_density(_spec(DensityFloorSpec, options))
    elif options.floor:
        _require(options, "spec", "data")
        records = images.measure_real(
            _spec(FloorSpec, options), _folder(options.classifier), options.data, log.info
        )
    elif options.spec:
        _require(options, "samples", "data")
        records = images.measure(
            _spec(MeasureSpec, options),
            options.samples,
            options.model,
            _folder(options.classifier),
            options.data,
            log.info,
            options.first,
        )
    elif not (options.samples and options.dataset):
        raise SpecError("measure: give --samples FILE and --dataset NAME (or, as the workflow does, --spec)")
    else:
        records = images.measure_file(
            options.samples,
            options.dataset,
            options.range,
            _folder(options.classifier),
            options.data,
            options.n,
            log.info,
        )
    write_json(options.out, records)
    log.info("%d records written to %s", len(records), options.out)


def critics(options: argparse.Namespace) -> None:
    """Let all critics of one run judge all samples of another."""
    from bigloop.measures import critics as room
    from bigloop.spec.jobs import CriticsSpec

    spec = _spec(CriticsSpec, options)
    write_json(options.out, room.critics(spec, options.home.parent / "runs", log.info))


def collect(options: argparse.Namespace) -> None:
    """Gather an experiment's measures into its tables."""
    from bigloop.analysis import tables
    from bigloop.generation.store import prune
    from bigloop.spec.jobs import CollectSpec

    spec = _spec(CollectSpec, options)
    results = options.home.parent
    tables.collect(spec, results)
    for run in spec.runs:
        for seed in run.seeds if not run.blocks else ():
            lineage = results / "runs" / run.spec.folder / f"seed-{seed}"
            prune(lineage, range(1, run.generations), (), options.keep_samples)


def plot(options: argparse.Namespace) -> None:
    """Draw one figure from an experiment's tables and previews, as PDF and PNG."""
    from bigloop.figures.make import render
    from bigloop.spec.jobs import PlotSpec

    render(_spec(PlotSpec, options), options.home.parent)


def bench(options: argparse.Namespace) -> None:
    """Measure how fast each part works on this machine: training, start-up, the loop, measures, and how they grow."""
    from bigloop.bench import main as run_bench

    run_bench(options, NEEDS)


def status(options: argparse.Namespace) -> None:
    """Show how far an experiment is; or estimate one that is not run yet; or delete what no config refers to."""
    try:
        _status(options)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; nor shall Python's last flush complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _status(options: argparse.Namespace) -> None:
    from bigloop.ops import status as view
    from bigloop.ops import survey, unreferenced

    experiment = survey.load(options.configfile)
    if options.estimate:
        from bigloop.ops import probes

        log.info("timing a little of each kind of job …")
        timing = probes.Timing(options.threads or 1)
        probes.show(experiment, timing.forecast(experiment), timing, options.cores)
        return
    view.show(survey.survey(experiment, options.results))
    free = unreferenced.show_unreferenced(experiment, options.results)
    if options.remove_unreferenced:
        unreferenced.remove_unreferenced(free, yes=options.yes)


def _folder(paths: list[Path]) -> Path | None:
    """The folder that a list of paths names: itself, or that of the files; None for none."""
    files = (".safetensors", ".json")
    return next((path.parent if path.suffix in files else path for path in paths), None)


def schema(options: argparse.Namespace) -> None:
    """Write the generated files: the declarations of all that is registered, and the config's JSON Schema."""
    from bigloop.ops.schema import generate

    for path in generate(check=options.check):
        log.info("%s written", path)


def _require(options: argparse.Namespace, *names: str) -> None:
    missing = [f"--{name}" for name in names if getattr(options, name) is None]
    if missing:
        raise SpecError(f"measure: give {', '.join(missing)}, too")


def _spec(cls: type, options: argparse.Namespace):  # type: ignore[no-untyped-def]
    try:
        return parse(cls, json.loads(options.spec), "spec")
    except json.JSONDecodeError as error:
        raise SpecError(f"--spec: not JSON ({error})") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bigloop", description="Model collapse as a workflow.")
    parser.add_argument("--version", action="version", version=f"bigloop {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(function, *, spec: bool | None = True) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
        name = function.__name__.rstrip("_")
        added = verbs.add_parser(name, help=function.__doc__.splitlines()[0], description=function.__doc__)
        added.set_defaults(verb=function, needs=NEEDS.get(name, ()))
        added.add_argument("--log", type=Path, metavar="FILE", help="write the log to this file, too")
        added.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's own choice)")
        added.add_argument(
            "--gpus",
            type=int,
            choices=(0, 1),
            help="use no GPU, or the least used one (default: torch's choice)",
        )
        added.add_argument(
            "--gres", default="", metavar="NAME", help="what a cluster gave the job; gpu:1 means --gpus 1"
        )
        added.add_argument(
            "--attempt",
            type=int,
            default=1,
            metavar="N",
            help="above 1, a job that failed for good is not repeated",
        )
        if spec is not None:
            added.add_argument("--spec", required=spec, metavar="JSON", help="what the job is told")
        return added

    def folder(added: argparse.ArgumentParser, *names: str, required: bool = True) -> None:
        for name in names:
            added.add_argument(f"--{name}", type=Path, required=required, metavar="PATH")

    def files(added: argparse.ArgumentParser, name: str, words: str) -> None:
        added.add_argument(f"--{name}", type=Path, nargs="*", default=[], metavar="FILE", help=words)

    added = verb(fetch, spec=None)
    added.add_argument("--dataset", required=True)
    added.add_argument(
        "--root",
        type=Path,
        nargs="?",
        help="folder with the dataset's files; nothing else is tried then",
    )
    folder(added, "out")

    def save_every(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--save-every",
            type=float,
            default=SAVE_SECONDS,
            metavar="SECONDS",
            help="between two saves of the state",
        )

    def keep_samples(added: argparse.ArgumentParser) -> None:
        added.add_argument(
            "--keep-samples",
            type=int,
            default=1,
            metavar="K",
            help="of every K-th generation, when none needs them",
        )

    added = verb(classify)
    folder(added, "data", "out")
    save_every(added)

    added = verb(train)
    folder(added, "data", "out")
    files(added, "previews", "preview.safetensors of each generation that the loop uses")
    files(added, "previous", "model files of the generation that this one continues from, all in one folder")
    files(
        added, "outputs", f"{OPTIMIZER_FILE} among them: keep the state of the optimisers, to continue from"
    )
    save_every(added)
    keep_samples(added)

    folder(verb(import_), "weights", "data", "out")

    added = verb(sample)
    folder(added, "model", "out")
    save_every(added)

    added = verb(simulate)
    folder(added, "out")
    save_every(added)

    added = verb(measure, spec=False)
    folder(added, "out")
    folder(added, "samples", "model", "first", "data", required=False)
    files(added, "classifier", "the classifier's folder, or files in it; none for data without classes")
    added.add_argument("--floor", action="store_true", help="measure real data against real data")
    added.add_argument("--density", action="store_true", help="measure a known density against itself")
    added.add_argument("--dataset", help="for images from elsewhere: the real data to compare with")
    added.add_argument(
        "--range",
        type=float,
        nargs=2,
        default=(0.0, 1.0),
        metavar=("LOW", "HIGH"),
        help="for images from elsewhere: pixel values of black and white; uint8 is always 0 255 (default: 0 1)",
    )
    added.add_argument(
        "--n", type=int, help="for images from elsewhere: rows on each side, for every measure"
    )

    folder(verb(critics), "home", "out")
    added = verb(collect)
    folder(added, "home")
    keep_samples(added)
    folder(verb(plot), "home")

    added = verb(schema, spec=None)
    added.add_argument("--check", action="store_true", help="write nothing; fail where a file is not current")

    added = verb(bench, spec=None)
    added.add_argument(
        "sections",
        nargs="*",
        metavar="SECTION",
        help="of steps, jobs, loop, together, measures and growth (default: all, about eight minutes on two cores)",
    )
    added.add_argument("--quick", action="store_true", help="small sizes, once each: a first look")
    added.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON, too")
    added.add_argument("--data", type=Path, help="folder of the stored MNIST (default: results/data/mnist)")
    added.add_argument("--rounds", type=int, default=3, help="how often each step is timed (default: 3)")

    added = verb(status, spec=None)
    config, results = Path("config.yaml"), Path("results")
    added.add_argument("--configfile", type=Path, default=config, metavar="FILE", help="default: config.yaml")
    added.add_argument("--results", type=Path, default=results, metavar="DIR", help="default: results")
    added.add_argument(
        "--estimate", action="store_true", help="time and disk it would take, timed here (see --threads)"
    )
    added.add_argument(
        "--cores", type=int, default=os.cpu_count(), metavar="N", help="of the estimate (default: all)"
    )
    added.add_argument(
        "--remove-unreferenced", action="store_true", help="delete the folders listed at the end"
    )
    added.add_argument("--yes", action="store_true", help="delete them without asking")
    return parser


if __name__ == "__main__":
    sys.exit(main())
