"""What an archive says of itself, for readers and for machines: README.md, and RO-Crate 1.1 as a Process Run Crate 0.5.

A crate is a folder with a file of linked data in it; a run is an action whose instrument is bigloop, at its version and
commit, whose object is the config, and whose results are the tables, figures and page.
"""

from __future__ import annotations

import json
import mimetypes
from pathlib import PurePosixPath
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.model.preview import Preview
from rocrate.rocrate import ROCrate

from bigloop.analysis.origins import made_by
from bigloop.runtime.provenance import in_words

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
SHA256 = "https://w3id.org/ro/terms/workflow-run#sha256"  # where the word is defined
TYPES = {".csv": "text/csv", ".yaml": "application/yaml", ".md": "text/markdown", ".sha256": "text/plain"}
RESULTS = ("tables", "figures", "explorer.html", "report.html")  # what a run is done for
WORDS = {  # what a file is, by the end of its name
    "config.yaml": "The config as it was run",
    "tables/measures.csv": "Every measure of every generation, one value a row",
    "tables/runs.csv": "One row a run: what it is",
    "tables/critics.csv": "What the critics of each generation say of the samples of others",
    "tables/verdicts.csv": "What became of each run, and why",
    "tables/claims.csv": "What the papers claim, held against these runs",
    "tables/runtime.csv": "What each job took",
    "tables/provenance.json": "Which software made the tables and models, on which machines",
    "explorer.html": "The experiment to look at, in one page",
    "report.html": "Snakemake's report",
    "preview.safetensors": "The first images of a generation",
    "points.safetensors": "Points that generations of a run drew",
    "model.json": "The specification of a generation's training, and what trained it",
    "test.safetensors": "Real images, those that figures show",
}

Sizes = dict[str, tuple[int, str]]  # name → bytes and SHA-256


def described(name: str, files: Sizes, provenance: dict[str, Any]) -> tuple[bytes, bytes]:
    """ro-crate-metadata.json and ro-crate-preview.html of an archive that holds these files.

    name: the experiment. Equal content gives equal bytes.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms["sha256"] = SHA256
    crate.name = f"{name}: an experiment on model collapse"
    crate.description = f"Tables, figures and page of the experiment {name}, made by bigloop."
    crate.datePublished = provenance["collected"]
    crate.root_dataset["conformsTo"] = crate.add(
        ContextEntity(
            crate, PROFILE, {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
        )
    )
    entities = {
        path: crate.add_file(dest_path=path, properties=about(path, *known)) for path, known in files.items()
    }
    software = provenance["software"]
    tool = crate.add(
        ContextEntity(
            crate,
            "#bigloop",
            {
                "@type": "SoftwareApplication",
                "name": "bigloop",
                "softwareVersion": in_words(software).removeprefix("bigloop "),
                "identifier": software.get("commit", software["package"]),
                "softwareRequirements": entities["requirements.txt"].id,
            },
        )
    )
    home = f"results/{name}/"
    action = crate.add(
        ContextEntity(
            crate,
            "#run",
            {
                "@type": "CreateAction",
                "name": f"Run of {name}",
                "endTime": provenance["collected"],
                "description": "; ".join(made_by(provenance)),
            },
        )
    )
    action["instrument"] = tool
    action["object"] = entities[f"{home}config.yaml"]
    made = [
        path for path in files if path.startswith(home) and path.removeprefix(home).split("/")[0] in RESULTS
    ]
    action["result"] = [entities[path] for path in made]
    crate.root_dataset["mentions"] = action
    preview = crate.add(Preview(crate))
    text = json.dumps(crate.metadata.generate(), indent=1, ensure_ascii=False) + "\n"
    return text.encode(), preview.generate_html().encode()


def about(path: str, size: int, sha256: str) -> dict[str, Any]:
    """What a crate says of a file."""
    suffix = PurePosixPath(path).suffix
    kind = TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    words = next((words for end, words in WORDS.items() if path.endswith(f"/{end}")), None)
    known = {"contentSize": str(size), "encodingFormat": kind, "sha256": sha256}
    return known | {"name": path.rsplit("/", 1)[-1]} | ({"description": words} if words else {})


def readme(name: str, provenance: dict[str, Any]) -> str:
    """What a reader finds first."""
    made = "\n".join(f"- {line}" for line in made_by(provenance))
    return f"""# {name}

An experiment on model collapse: generative models trained, generation after generation, on their own output. Packed by
`python -m bigloop export`, as an RO-Crate.

{made}

- `results/{name}/explorer.html`: look at it, in a browser
- `results/{name}/tables/`: measures, runs, verdicts, claims, runtimes, provenance
- `results/{name}/figures/`: the figures, as PDF and PNG
- `results/{name}/config.yaml`: the config that made them
- `requirements.txt`: the Python packages that were installed
- `checksums.sha256`: the SHA-256 of every file

Check it: `python -m bigloop verify FILE.zip`, or unpack it and run `sha256sum --check checksums.sha256`.
Draw every figure anew, from tables and previews alone: `python -m bigloop rebuild FILE.zip`.
In Python, where it is unpacked: `bigloop.open("results/{name}").measures`.
Run it again: `snakemake --cores 2 --configfile results/{name}/config.yaml`, in a checkout of bigloop.
"""
