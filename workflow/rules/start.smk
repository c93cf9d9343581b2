# What is done when the first job is about to start, and only then: reading the Snakefile changes nothing.
#
# A module's handlers are its own: a workflow that uses this one as a module calls it in `onstart: bigloop.onstart()`.

import yaml

from bigloop.artifacts import replacing
from bigloop.data.store import check_files
from bigloop.data.elsewhere import check_unchanged
from bigloop.ops import slurm
from bigloop.runtime import locks

# The live view (`logger: bigloop` in a profile) calls jobs by the names of their runs.
for handler in workflow.logger_manager.get_log_handlers():
    if hasattr(handler, "follow"):
        handler.follow(experiment, Path(rules.collect.output.measures).parents[2])


onstart:
    # Snakemake looks for jobs to start whenever one ends, and with a rate limit again a second after each look: these
    # looks add up, to one a second for every job that has ended. At its default, 100 jobs a second, the limit is useless.
    if (limit := workflow.scheduler.job_rate_limiter) and limit.max_jobs == 100 * limit.timespan:
        workflow.scheduler.job_rate_limiter = None
    files = workflow.persistence
    reads, writes = map(str, files.all_inputfiles()), map(str, files.all_outputfiles())
    try:
        with locks.starting(Path(".snakemake", "bigloop"), reads, writes) as alone:
            if alone:  # a workflow that was killed here may have left jobs on a cluster
                slurm.cancel_leftovers(Path.cwd())
    except locks.Busy as error:
        sys.exit(f"not started: {error}")
    results = Path(rules.collect.output.measures).parents[2]
    for images in experiment.datasets.values():
        try:
            check_files(images.data, results / "data" / images.folder, images.root)
        except SpecError as error:
            sys.exit(f"not started: {error}")
    for run in experiment.trained:
        for seed, t in run.jobs() if run.spec.elsewhere else ():
            place = results / "runs" / run.spec.folder / f"seed-{seed}" / f"gen-{t}"
            try:
                check_unchanged(Path(run.file(seed, t)), place)
            except SpecError as error:
                sys.exit(f"not started: {error}")
    with replacing(Path(rules.collect.output.measures).parents[1] / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
