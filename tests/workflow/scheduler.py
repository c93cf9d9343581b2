"""Stand-ins for the programs of Grid Engine, PBS and LSF, which run jobs in the background of this machine.

    programs = install(folder, "sge")       # to stand first in PATH
    (folder / "calls").read_text()          # how they were called, a line each
    (folder / "lose").touch()               # the next job is lost before it runs

Each job leaves its exit status in FOLDER/NUMBER.exit. The programs print what the manuals of the real ones say.
"""

from __future__ import annotations

from pathlib import Path

COMMON = """#!/bin/sh
cd '{folder}'
echo "$(basename "$0") $*" >> calls
"""

# The last argument is the job's script, which runs in the folder that the submitter is in.
SUBMIT = """#!/bin/sh
echo "$(basename "$0") $*" >> '{folder}/calls'
for script in "$@"; do :; done
number=$(ls '{folder}' | grep -c '[.]job$')
job='{folder}'/$number
touch "$job.job"
if [ -e '{folder}/lose' ]; then
    rm '{folder}/lose'
    echo 137 > "$job.exit"
else
    setsid sh -c 'echo $$ > "$1.pid"; sh "$0"; echo $? > "$1.exit"' "$script" "$job" > "$job.out" 2>&1 &
fi
echo "{answer}"
"""
CANCEL = (
    COMMON
    + """
for number in "$@"; do
    number=${{number%.server}}
    kill -TERM -- "-$(cat $number.pid)"
    echo 143 > $number.exit
done
"""
)
SGE_STATUS = COMMON + '[ "$1" = -j ] && [ ! -e "$2.exit" ] && echo "job_number: $2"\n'
SGE_ACCOUNT = COMMON + '[ -e "$2.exit" ] && echo "failed       0" && echo "exit_status  $(cat $2.exit)"\n'
PBS_STATUS = (
    COMMON
    + """
for number in "$@"; do :; done
number=${{number%.server}}
echo "Job Id: $number.server"
if [ -e $number.exit ]; then
    printf '    job_state = F\\n    Exit_status = %s\\n' "$(cat $number.exit)"
else
    echo '    job_state = R'
fi
"""
)
LSF_STATUS = (
    COMMON
    + """
for number in "$@"; do :; done
if [ ! -e $number.exit ]; then echo RUN; elif [ "$(cat $number.exit)" = 0 ]; then echo DONE; else echo EXIT; fi
"""
)

PROGRAMS = {
    "sge": {
        "qsub": SUBMIT.replace("{answer}", "$number"),
        "qstat": SGE_STATUS,
        "qacct": SGE_ACCOUNT,
        "qdel": CANCEL,
    },
    "pbs": {"qsub": SUBMIT.replace("{answer}", "$number.server"), "qstat": PBS_STATUS, "qdel": CANCEL},
    "lsf": {
        "bsub": SUBMIT.replace("{answer}", "Job <$number> is submitted to queue <normal>."),
        "bjobs": LSF_STATUS,
        "bkill": CANCEL,
    },
}


def install(folder: Path, scheduler: str) -> Path:
    """Write the programs of a scheduler below `folder`; returns the folder they are in."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, text in PROGRAMS[scheduler].items():
        (programs / name).write_text(text.format(folder=folder))
        (programs / name).chmod(0o755)
    return programs
