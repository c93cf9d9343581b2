"""What `make schema` writes: declarations of all that is registered, and the config's JSON Schema.

generate(check=False)      # src/bigloop/spec/registered.json and workflow/schemas/config.schema.yaml
"""

from __future__ import annotations

from pathlib import Path

from bigloop import figures, loops, metrics, models  # noqa: F401  # each fills its registry
from bigloop.analysis import claims  # noqa: F401
from bigloop.config.schema import schema_text
from bigloop.data import densities  # noqa: F401
from bigloop.models import features  # noqa: F401
from bigloop.spec.options import SpecError
from bigloop.spec.registry import REGISTERED, forget, registered_text

SCHEMA = Path("workflow/schemas/config.schema.yaml")


def generate(*, check: bool) -> list[Path]:
    """Write the generated files that are not current, and return them.

    With `check` nothing is written, and SpecError is raised for the first file that is not current.
    """
    changed = []
    for path, text in ((REGISTERED, registered_text), (SCHEMA, schema_text)):
        wanted = text()
        if path.is_file() and path.read_text() == wanted:
            continue
        if check:
            raise SpecError(f"{path}: is not what the code declares; run `make schema`")
        path.write_text(wanted)
        changed.append(path)
        forget()
    return changed
