"""A folder of one's own that uses the workflow of the installed package: what `bigloop init` makes.

    init(Path("my-study"))          # then: cd my-study && snakemake --cores 2

The rules stay in the package. The folder holds what a user edits: the config, the profiles, and the shipped experiments
to start from.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bigloop import __version__
from bigloop.artifacts import ArtifactError
from bigloop.ops.disk import check_empty
from bigloop.runtime.progress import Report
from bigloop.spec.options import SpecError

PACKAGE = Path(__file__).resolve().parents[1]
COPIED = ("config.yaml", "profiles", "workflow/experiments", "workflow/schemas", "workflow/notebooks")

SNAKEFILE = """\
# The workflow of bigloop, as the installed package has it. Rules of your own may follow.
from bigloop.ops.project import snakefile


include: snakefile()


rule study:
    default_target: True
    input:
        rules.all.input,
"""

README = """\
# {name}

A study of model collapse with bigloop {version}: generative models trained, generation after generation, on
their own output.

```
snakemake --cores 2                                     # the experiment of config.yaml
snakemake --cores 2 -n                                  # what would run?
snakemake --cores 2 --configfile workflow/experiments/known-densities-small.yaml
bigloop status --watch                                  # progress, last measures, time left
bigloop export quickstart                               # tables, figures and page as one file
```

`config.yaml` explains its keys; `workflow/experiments/` has the experiments that come with bigloop, to start from.
`profiles/slurm` is for clusters. Results lie in `results/EXPERIMENT/`: open `explorer.html` there first.
"""


def snakefile() -> str:
    """The workflow's Snakefile, to be included in another."""
    return str(root() / "Snakefile")


def root() -> Path:
    """Where the workflow lies: inside an installed package, beside it in a checkout."""
    for folder in (PACKAGE / "project", PACKAGE.parents[1]):
        if (folder / "Snakefile").is_file():
            return folder
    raise ArtifactError(f"{PACKAGE}: no workflow in it and none beside it; install bigloop again")


def init(folder: Path, report: Report = lambda line: None) -> None:
    """Make a folder in which `snakemake` runs the default experiment. Raises SpecError where it holds something."""
    check_empty(folder)
    try:
        for name in COPIED:
            source, target = root() / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copyfile(source, target)
        (folder / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
        (folder / ".gitignore").write_text("results/\n.snakemake/\n", encoding="utf-8")
        words = README.format(name=folder.resolve().name, version=__version__)
        (folder / "README.md").write_text(words, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{folder}: cannot be made ({error.strerror})") from None
    report(f"{folder} is made: cd {folder} && snakemake --cores 2")
