# How jobs are called: by which Python, and with what beside their science.

import os
from pathlib import Path

from bigloop import __version__
from bigloop.runtime import processes
from bigloop.runtime.gpus import visible_gpus
from bigloop.spec.registry import PLUGINS

# The jobs' python is the one that runs Snakemake, also where its environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))

# Where envs/bigloop.post-deploy.sh finds what it installs.
os.environ.update(
    BIGLOOP_CHECKOUT=str(Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]),
    BIGLOOP_VERSION=__version__,
)

# The image that jobs run in where Snakemake is called with --sdm apptainer: a .sif file, or docker://NAME.
if image := os.environ.get("BIGLOOP_CONTAINER"):

    container: image


# A job ends when the Snakemake that started it does, however that ends.
os.environ[processes.WORKFLOW] = str(os.getpid())

# Every job imports the plugins that the config, or an installed package, names.
os.environ[PLUGINS] = ",".join(experiment.plugins)

# Jobs that gain from a GPU ask for one where there is one; a cluster's profile asks for them. How many of them run at
# once is the profile's word (resources: gpu), or that of --resources gpu=N.
GPU = min(1, len(visible_gpus()))

# None of it stands in params, for none of it changes a result.
MACHINE = "--threads {threads} --gpus {resources.gpu} --attempt {resources.attempt} --log {log:q}"
SAVE = f"--save-every {experiment.storage.save_every}"
GRES = "--gres={resources.gres:q}"  # for jobs that gain from a GPU: a profile may ask for it as gres, too
KEEP = f"--keep-samples {experiment.storage.keep_samples}"
SNAPSHOTS = f"--snapshots {experiment.storage.snapshots} " if experiment.storage.snapshots else ""


def folder(file, up=1):
    """The folder that a file of the rule lies in, such as output.model, or one further up, as a word of a shell line."""
    word = f"{{{file}:q}}"
    for _ in range(up):
        word = f'"$(dirname {word})"'
    return word
