"""Train the classifier that judges images."""

from __future__ import annotations

from pathlib import Path

from bigloop.artifacts import write_json, write_tensors
from bigloop.data import dataset, load, load_verified
from bigloop.models.classifier import accuracy, train_classifier
from bigloop.runtime.progress import Report
from bigloop.runtime.signals import SAVE_SECONDS
from bigloop.spec.jobs import ClassifierSpec
from bigloop.spec.options import digest, to_dict
from bigloop.training.checkpoint import Checkpoint
from bigloop.training.devices import default_device, made_by


def classify(
    spec: ClassifierSpec, data: Path, out: Path, report: Report, save_seconds: float = SAVE_SECONDS
) -> float:
    """Train the classifier; write it and its judgement of the real training set; returns its test accuracy.

    A training that was stopped continues from the state that it left in `out`.
    """
    device = default_device()
    images, labels, data_checksum = load_verified(data, "train")
    key = digest({"spec": spec, "data": data_checksum, "device": device.type}, digits=64)
    checkpoint = Checkpoint(out / "classify.state.safetensors", key, save_seconds, report)
    classes = len(dataset(spec.dataset).classes)
    net, history = train_classifier(spec, images, labels, classes, device, report, checkpoint)
    test_images, test_labels = load(data, "test")
    test_accuracy = accuracy(net.judge(test_images), test_labels)
    judgement = net.judge(images)
    tensors = {k: v.cpu().numpy() for k, v in net.state_dict().items()}
    header = {"spec": digest(spec)}
    write_tensors(out / "reference.safetensors", judgement._asdict(), header)
    write_tensors(out / "model.safetensors", tensors, header)
    write_json(
        out / "model.json",
        {
            "spec": to_dict(spec),
            "test_accuracy": test_accuracy,
            "history": history,
            "resumed_at": checkpoint.resumed_at,
            **made_by(device),
        },
    )
    checkpoint.path.unlink(missing_ok=True)
    return test_accuracy
