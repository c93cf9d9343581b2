"""The command line: parse, log, call. `python -m bigloop VERB --help` says what each verb takes.

The workflow calls these verbs; a person may, too. Heavy imports stand inside the verbs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from bigloop import __version__
from bigloop.artifacts import ArtifactError, write_json
from bigloop.data import DataError, dataset
from bigloop.spec import SpecError

log = logging.getLogger("bigloop")


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit status. What a user can cause ends in one line on stderr, without a traceback."""
    options = _parser().parse_args(arguments)
    _start_logging(options.log)
    _set_threads(options.threads)
    try:
        options.verb(options)
    except (SpecError, ArtifactError, DataError) as error:
        log.error("error: %s", error)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted")
        return 130
    except Exception as error:
        from bigloop.training import DivergedError

        if not isinstance(error, DivergedError):
            raise
        log.error("error: %s", error)
        return 1
    return 0


def fetch(options: argparse.Namespace) -> None:
    """Find, verify and store a real dataset."""
    source = dataset(options.dataset).fetch(options.out, options.root)
    log.info("%s verified and stored, from %s", options.dataset, source)


def classify(options: argparse.Namespace) -> None:
    """Train the CNN that judges images."""
    from bigloop import measures
    from bigloop.spec import ClassifierSpec

    test_accuracy = measures.classify(_spec(ClassifierSpec, options), options.data, options.out, log.info)
    log.info("accuracy on the test set: %.2f %%", 100 * test_accuracy)


def train(options: argparse.Namespace) -> None:
    """Train the model of one generation."""
    from bigloop import generation
    from bigloop.spec import TrainSpec

    samples = {int(path.parent.name.removeprefix("gen-")): path for path in options.samples}
    generation.train(_spec(TrainSpec, options), options.data, samples, options.out, log.info)


def sample(options: argparse.Namespace) -> None:
    """Sample one generation."""
    from bigloop import generation
    from bigloop.spec import SampleSpec

    generation.sample(_spec(SampleSpec, options), options.model, options.out)


def measure(options: argparse.Namespace) -> None:
    """Measure a generation, the real floor (--floor), or images from elsewhere (--samples and --dataset)."""
    from bigloop import measures
    from bigloop.spec import FloorSpec, MeasureSpec

    if options.floor:
        _require(options, "spec", "classifier", "data")
        records = measures.measure_real(_spec(FloorSpec, options), options.classifier, options.data)
    elif options.spec:
        _require(options, "samples", "classifier", "data")
        records = measures.measure(
            _spec(MeasureSpec, options), options.samples, options.model, options.classifier, options.data
        )
    elif not (options.samples and options.dataset):
        raise SpecError("measure: give --samples FILE and --dataset NAME (or, as the workflow does, --spec)")
    else:
        records = measures.measure_file(
            options.samples, options.dataset, options.range, options.classifier, options.data, options.n
        )
    write_json(options.out, records)
    log.info("%d records written to %s", len(records), options.out)


def critics(options: argparse.Namespace) -> None:
    """Let all critics of one run judge all samples of another."""
    from bigloop import measures
    from bigloop.spec import CriticsSpec

    write_json(options.out, measures.critics(_spec(CriticsSpec, options), options.results / "runs"))


def collect(options: argparse.Namespace) -> None:
    """Gather an experiment's measures into its tables."""
    from bigloop import tables
    from bigloop.spec import CollectSpec

    tables.collect(_spec(CollectSpec, options), options.results)


def plot(options: argparse.Namespace) -> None:
    """Draw one figure from an experiment's tables and previews, as PDF and PNG."""
    from bigloop.render import render
    from bigloop.spec import PlotSpec

    render(_spec(PlotSpec, options), options.results)


def bench(options: argparse.Namespace) -> None:
    """Time our training steps against the plain loop, side by side."""
    from bigloop.bench import main as run_bench

    run_bench(options)


def _require(options: argparse.Namespace, *names: str) -> None:
    missing = [f"--{name}" for name in names if getattr(options, name) is None]
    if missing:
        raise SpecError(f"measure: give {', '.join(missing)}, too")


def _spec(cls: type, options: argparse.Namespace):  # type: ignore[no-untyped-def]
    from bigloop.spec import parse

    try:
        return parse(cls, json.loads(options.spec), "spec")
    except json.JSONDecodeError as error:
        raise SpecError(f"--spec: not JSON ({error})") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bigloop", description="Model collapse as a workflow.")
    parser.add_argument("--version", action="version", version=f"bigloop {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(function, *, spec: bool | None = True) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
        name = function.__name__
        added = verbs.add_parser(name, help=function.__doc__.splitlines()[0], description=function.__doc__)
        added.set_defaults(verb=function)
        added.add_argument("--log", type=Path, metavar="FILE", help="write the log to this file, too")
        added.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's own choice)")
        if spec is not None:
            added.add_argument("--spec", required=spec, metavar="JSON", help="what the job is told")
        return added

    def folder(added: argparse.ArgumentParser, *names: str, required: bool = True) -> None:
        for name in names:
            added.add_argument(f"--{name}", type=Path, required=required, metavar="PATH")

    added = verb(fetch, spec=None)
    added.add_argument("--dataset", required=True)
    added.add_argument(
        "--root", type=Path, help="folder with the dataset's files; nothing else is tried then"
    )
    folder(added, "out")

    folder(verb(classify), "data", "out")

    added = verb(train)
    folder(added, "data", "out")
    added.add_argument("--samples", type=Path, nargs="*", default=[], metavar="FILE")

    folder(verb(sample), "model", "out")

    added = verb(measure, spec=False)
    folder(added, "out")
    folder(added, "samples", "model", "classifier", "data", required=False)
    added.add_argument("--floor", action="store_true", help="measure real data against real data")
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

    folder(verb(critics), "results", "out")
    folder(verb(collect), "results")
    folder(verb(plot), "results")

    added = verb(bench, spec=None)
    added.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON, too")
    added.add_argument("--data", type=Path, help="folder of the stored MNIST (default: results/data/mnist)")
    added.add_argument("--rounds", type=int, default=5, help="how often each pair is timed (default: 5)")
    return parser


def _start_logging(file: Path | None) -> None:
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [terminal]
    log.setLevel(logging.INFO)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        written = logging.FileHandler(file, mode="w")
        written.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(written)
        terminal.setFormatter(logging.Formatter(f"{_place(file)}: %(message)s"))


def _place(log_file: Path) -> str:
    """Where a job stands, in words, from its log file: "vae-mnist-1f0c9a42 seed 0 generation 3 train"."""
    parts = [part for part in log_file.with_suffix("").parts if part not in ("results", "runs", "logs")]
    return " ".join(parts).replace("seed-", "seed ").replace("gen-", "generation ")


def _set_threads(threads: int) -> None:
    """Limit every library that reads these variables at import; torch is among them."""
    if threads:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ[name] = str(threads)


if __name__ == "__main__":
    sys.exit(main())
