"""Images from elsewhere to measures: whatever there is of them that needs no loop."""

from __future__ import annotations

from pathlib import Path

from bigloop.artifacts import ArtifactError, read_json
from bigloop.data import dataset, plane_source
from bigloop.data.files import read_images
from bigloop.measures.images import by_name, extractors_of, measure_images
from bigloop.measures.records import Record
from bigloop.metrics import MEASURES
from bigloop.runtime.progress import Report
from bigloop.spec.jobs import OWN, FeaturesSpec
from bigloop.spec.options import Scalar, SpecError, to_dict
from bigloop.spec.registry import declared
from bigloop.spec.runs import Data, data_folder, source_of

BEYOND = {"inception", "others", "accuracy"}  # views that need more than the images, or much time


def measure_file(
    path: Path,
    data_spec: Data,
    pixel_range: tuple[float, float],
    classifier: Path | None,
    data: Path | None,
    n: int | None,
    report: Report = lambda line: None,
    features: FeaturesSpec | None = None,
) -> list[Record]:
    """Records of images from elsewhere (see data.files.read_images) against a real dataset.

    All measures but fid_inception and utility, and of data without classes those that need none, with `n` rows each (by
    default each measure's limit), or as many as there are; on `features`, by default those of the data's classifier.
    Classifiers and data are looked for under results/ unless given; of stacked pictures that of the source, too, and
    their own only where it is given.
    """
    if n is not None and n < 2:
        raise SpecError(f"--n: expected at least 2, got {n}")
    about = dataset(data_spec)
    images = read_images(path, about.shape, *pixel_range)
    available = min(len(images), about.rows["train"] // 2)
    planes = _of_planes(data_spec)
    labelled = about.labelled and (planes is None or classifier is not None)
    measures: dict[str, dict[str, Scalar]] = {}
    for name, entry in MEASURES.items():
        rows, k = min(n or entry.limit, available // entry.per_side), getattr(entry.Options(), "k", None)
        possible = (labelled or not entry.needs_classes) and (labelled or features or not entry.on_features)
        if (
            possible
            and (planes or not entry.on_planes)
            and entry.of_images
            and entry.has_rows
            and BEYOND.isdisjoint(entry.on)
            and not entry.needs_critic
            and rows > (k or 0)
        ):
            measures[name] = {"n": rows} if k is None else {"n": rows, "k": k}
            if through := planes if entry.on_planes else features if entry.on_features else None:
                measures[name]["features"] = through.name
    if available < 4:
        raise ArtifactError(f"{path}: holds {len(images)} images; at least 4 are needed")
    data = data or Path("results/data") / data_folder(data_spec)
    judge = classifier or find_classifier(data_spec) if labelled else None
    trained = by_name(Path("results/classifier").glob("*"))
    extractors = extractors_of({one.name: one for one in (features, planes) if one}, trained)
    return measure_images(images, measures, judge, data, report=report, extractors=extractors)


def find_classifier(data_spec: Data) -> Path:
    """The newest classifier under results/classifier that was trained on a dataset."""
    name, wanted = source_of(data_spec), to_dict(data_spec)
    found = [
        path
        for path in Path("results/classifier").glob(f"{name}-*/model.json")
        if read_json(path, keys=("spec",))["spec"]["dataset"] == wanted
    ]
    if not found:
        raise ArtifactError(
            f"results/classifier/{name}-*: no trained classifier; "
            "train one with `snakemake --cores 2 classifiers`"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def _of_planes(data_spec: Data) -> FeaturesSpec | None:
    """The classifier that judges the colour planes of a dataset; None where they are no pictures of their own."""
    if not (source := plane_source(data_spec)):
        return None
    return FeaturesSpec(OWN, declared("features")[OWN].revision, {OWN: find_classifier(source).name})
