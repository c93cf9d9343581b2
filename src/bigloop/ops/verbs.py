"""The verbs of a person: what the workflow itself never calls. Heavy imports stand inside them."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from bigloop.artifacts import ArtifactError
from bigloop.runtime.arguments import CONFIG, VERBS, option, path, verb

log = logging.getLogger("bigloop")
RESULTS = path("results", "default: results", False, default=Path("results"), metavar="DIR")


@verb(option("folder", "the folder to make", type=Path, metavar="FOLDER"))
def init(options: argparse.Namespace) -> None:
    """Make a folder of one's own, in which snakemake runs the workflow of this package."""
    from bigloop.ops.project import init as make

    make(options.folder, options.report)


@verb(
    path("configfile", "default: config.yaml", False, default=CONFIG, metavar="FILE"),
    RESULTS,
    option("--watch", "show progress until all is done", type=float, nargs="?", const=2.0, metavar="SECONDS"),
    option("--estimate", "estimate time and disk from short probes on this machine", action="store_true"),
    option("--cores", "for the estimate (default: all)", type=int, default=os.cpu_count(), metavar="N"),
    option("--remove-unreferenced", "delete the folders listed at the end", action="store_true"),
    option("--yes", "delete them without asking", action="store_true"),
)
def status(options: argparse.Namespace) -> None:
    """Show or watch the progress of an experiment, estimate it before it runs, or delete what no config refers to."""
    from bigloop.ops import survey, unreferenced
    from bigloop.ops.status import reader_may_leave, show

    with reader_may_leave():
        experiment = survey.load(options.configfile)
        if options.estimate:
            log.info("estimating %s: timing a short probe of each kind of work …", experiment.name)
            from bigloop.ops.probes import estimate

            needs = {name: verb.needs for name, verb in VERBS.items()}
            return estimate(experiment, needs, options.threads or 1, options.cores, log.info)
        if options.watch is not None:
            from bigloop.ops import view

            view.watch(experiment, options.results, options.watch, sys.stdout)
            return
        show(survey.survey(experiment, options.results))
        free = unreferenced.show_unreferenced(experiment, options.results)
        if options.remove_unreferenced:
            unreferenced.remove_unreferenced(free, yes=options.yes)


@verb(
    option("experiment", "its name, or its folder, such as results/quickstart", metavar="EXPERIMENT"),
    option("out", "the ZIP file to write (default: EXPERIMENT.zip)", nargs="?", metavar="OUT.zip"),
    option("--samples", "with the samples of every generation", action="store_true"),
    option("--weights", "with the weights of every generation", action="store_true"),
    path("tensorboard", "instead: measures and first samples as TensorBoard's logs", False, metavar="FOLDER"),
    path(
        "huggingface", "instead: tables, samples as pictures, as a dataset's folder", False, metavar="FOLDER"
    ),
    option(
        "--images", "of each generation in that folder (default: 100)", type=int, default=100, metavar="N"
    ),
    RESULTS,
)
def export(options: argparse.Namespace) -> None:
    """Pack a finished experiment into one file, an RO-Crate: tables, figures, config, and what they are drawn from."""
    from bigloop.ops.archive import elsewhere
    from bigloop.ops.archive.pack import export as pack
    from bigloop.ops.study import open_study

    given = Path(options.experiment)
    home = given if given.is_dir() else options.results / given
    if options.tensorboard:
        elsewhere.to_tensorboard(open_study(home), options.tensorboard, options.report)
    if options.huggingface:
        chosen = options.images, options.weights
        elsewhere.to_huggingface(open_study(home), options.huggingface, *chosen, options.report)
    if options.out or not (options.tensorboard or options.huggingface):
        pack(home, Path(options.out or f"{home.name}.zip"), options.samples, options.weights, options.report)


@verb(option("archive", "a file that export wrote", type=Path, metavar="FILE.zip"))
def verify(options: argparse.Namespace) -> None:
    """Check every file of an exported experiment against its checksum."""
    from bigloop.ops.archive import pack

    options.report(f"{options.archive}: {pack.verify(options.archive)}, every file is as it was written")


@verb(
    option("archive", "a file that export wrote", type=Path, metavar="FILE.zip"),
    option("out", "the folder to make (default: that of the file's name, here)", nargs="?", metavar="FOLDER"),
)
def rebuild(options: argparse.Namespace) -> None:
    """Draw the figures of an exported experiment anew, without data, weights or training, and compare them."""
    from bigloop.ops.archive.rebuild import rebuild as draw

    out = Path(options.out or options.archive.stem)
    if changed := draw(options.archive, out, options.report):
        raise ArtifactError(f"{out}: not as in the archive: {', '.join(changed)}")


@verb(option("--check", "write nothing; fail where a file is not current", action="store_true"))
def schema(options: argparse.Namespace) -> None:
    """Write the generated files: the declarations of all that is registered, and the config's JSON Schema."""
    from bigloop.ops.schema import generate

    for written in generate(check=options.check):
        log.info("%s written", written)
