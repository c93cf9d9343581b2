"""The command line: what a user can get wrong is one line and exit status 1; help is quick."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigloop.__main__ import main
from bigloop.artifacts import read_json
from bigloop.data import load
from bigloop.models import resolve
from bigloop.runtime.job import VIEWED
from bigloop.runtime.progress import read_state
from bigloop.spec.generations import SampleSpec, TrainSpec
from bigloop.spec.jobs import CollectSpec, TableRun
from bigloop.spec.loops import Budget, Initial
from bigloop.spec.options import to_json
from bigloop.spec.runs import ModelSpec, RunSpec

SPEC = TrainSpec(
    "mnist",
    resolve("vae", {"hidden": 8, "latent": 2}, "models.vae"),
    0,
    1,
    Initial(50),
    Budget(images=64),
)


@pytest.fixture(autouse=True)
def logger() -> Iterator[None]:
    """The handlers that a call leaves hold streams of the test that made it."""
    yield
    log = logging.getLogger("bigloop")
    for handler in log.handlers:
        handler.close()
    log.handlers = []


def fails(arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr of a call that must fail."""
    assert main([str(a) for a in arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.endswith("\n")
    assert output.err.count("\n") == 1
    assert output.err.startswith("error: ")
    return output.err.removeprefix("error: ").strip()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_and_version_do_not_import_what_is_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from bigloop.__main__ import main\n"
        "try:\n"
        f"    main({arguments})\n"
        "except SystemExit as end:\n"
        "    heavy = {'torch', 'torchvision', 'scipy', 'matplotlib', 'pandas', 'ot'}\n"
        "    print('loaded:', *sorted(heavy & set(sys.modules)), 'status:', end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: status: 0"
    assert done.stderr == ""


def test_every_verb_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    verbs = ("fetch", "classify", "train", "sample", "measure", "critics", "collect", "plot", "bench")
    for verb in verbs:
        with pytest.raises(SystemExit) as end:
            main([verb, "--help"])
        assert end.value.code == 0
        assert f"python -m bigloop {verb}" in capsys.readouterr().out


def test_a_run_from_the_shell_ends_in_one_line_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bigloop", "measure", "--samples", "none.npy", "--dataset", "mnist"]
    done = subprocess.run([*command, "--out", "m.json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "error: none.npy: no such file\n"


def test_a_missing_classifier_is_one_line(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", load(small_mnist, "test")[0][:50])
    arguments = [
        "measure",
        "--samples",
        "images.npy",
        "--dataset",
        "mnist",
        "--data",
        small_mnist,
        "--out",
        "m.json",
    ]
    assert "no trained classifier" in fails(arguments, capsys)
    line = fails([*arguments, "--classifier", tmp_path / "nowhere"], capsys)
    assert line.startswith(str(tmp_path / "nowhere" / "model.json"))
    assert not (tmp_path / "m.json").exists()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{", "--spec: not JSON"),
        ("", "--spec: not JSON"),
        ("[]", "spec: expected object"),
        ("NaN", "spec: expected object"),
        ("{}", "spec.dataset: missing"),
        (
            to_json(SPEC).replace('"seed":0', '"seed":"zero"'),
            "spec.seed: expected integer, got 'zero'",
        ),
        (to_json(SPEC).replace('"seed":0', '"seed":NaN'), "spec.seed: expected integer, got nan"),
        (to_json(SPEC).replace('"mnist"', '"cifar"'), "dataset: unknown dataset 'cifar'"),
        (to_json(SPEC).replace('"family":"vae"', '"family":"gan"'), "family: unknown family 'gan'"),
        (to_json(SPEC).replace('"hidden":8', '"hidden":0'), "vae.hidden: expected at least 1, got 0"),
        (
            to_json(SPEC).replace('"hidden":8', '"hidden":NaN'),
            "vae.hidden: expected integer, got nan",
        ),
    ],
)
def test_a_broken_spec_is_one_line(
    spec: str, message: str, small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = fails(["train", "--spec", spec, "--data", small_mnist, "--out", tmp_path / "out"], capsys)
    assert message in line
    assert not (tmp_path / "out").exists()


def test_a_specification_longer_than_an_argument_may_be_comes_by_standard_input(
    small_mnist: Path, tmp_path: Path
) -> None:
    """Of a map of two hundred runs the tables' job has one."""
    home = tmp_path / "results" / "many"
    home.mkdir(parents=True)
    run = TableRun("a", "a", "a", "normal", "loop", 1, (0,), RunSpec("normal", ModelSpec("gaussian", 1, {})))
    runs = tuple(replace(run, run=f"run-{i}") for i in range(1_000))
    spec = to_json(CollectSpec("many", runs, (), ()))
    assert len(spec) > 128 * 1024  # of Linux: MAX_ARG_STRLEN
    command = [sys.executable, "-m", "bigloop", "collect", "--spec", "-", "--home", str(home)]
    done = subprocess.run(command, input=spec, capture_output=True, text=True)
    assert "measures.json: missing" in done.stderr  # read, and nothing was measured there
    assert "--spec" not in done.stderr
    with pytest.raises(OSError, match="too long"):
        subprocess.run([*command[:5], spec, *command[6:]], check=False)


def test_missing_inputs_of_each_verb_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    no, out = tmp_path / "no", tmp_path / "out"
    sampling = to_json(SampleSpec(0, 1, 5))
    measuring = '{"dataset":"mnist","measures":{"pixels":{"n":5}},"classifier":"x"}'
    critics = '{"critic":"a","critic_folders":["x"],"generator":"a","generator_folders":["x"],"seed":0,"n":5}'
    plotting = '{"experiment":"e","name":"fid","figure":"fid","options":{}}'
    collecting = '{"experiment":"e","runs":[],"datasets":["mnist"],"critics":[]}'
    calls: dict[str, list[Any]] = {
        "train": ["--spec", to_json(SPEC), "--data", no, "--out", out],
        "classify": ["--spec", '{"dataset":"mnist"}', "--data", no, "--out", out],
        "sample": ["--spec", sampling, "--model", no, "--out", out],
        "measure": ["--spec", measuring, "--samples", no, "--classifier", no, "--data", no, "--out", out],
        "critics": ["--spec", critics, "--home", no / "e", "--out", out],
        "collect": ["--spec", collecting, "--home", no / "e"],
        "plot": ["--spec", plotting, "--home", no / "e"],
        "fetch": ["--dataset", "mnist", "--root", no, "--out", out],
    }
    for verb, arguments in calls.items():
        assert str(no) in fails([verb, *arguments], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["measure", "--out", "m.json"],
        ["measure", "--out", "m.json", "--samples", "x.npy"],
        ["measure", "--out", "m.json", "--dataset", "mnist"],
        ["measure", "--out", "m.json", "--floor"],
        [
            "measure",
            "--out",
            "m.json",
            "--floor",
            "--spec",
            '{"dataset":"mnist","measures":{},"classifier":"x"}',
        ],
        ["measure", "--out", "m.json", "--spec", '{"dataset":"mnist","measures":{},"classifier":"x"}'],
        ["fetch", "--dataset", "cifar", "--out", "data"],
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fails(arguments, capsys)


def test_training_that_diverges_is_one_line(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = (
        to_json(SPEC)
        .replace('"learning_rate":0.001', '"learning_rate":1e30')
        .replace('"images":64', '"images":640')
    )
    assert "1e30" in spec
    out = tmp_path / "out"
    assert main(["train", "--spec", spec, "--data", str(small_mnist), "--out", str(out)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"error: loss\w* became (nan|inf) by step \d+: training diverged", last)


def test_a_place_that_cannot_be_written_is_one_line(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = str(tmp_path / "file" / "below")
    assert main(["train", "--spec", to_json(SPEC), "--data", str(small_mnist), "--out", out]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {out}")


def test_a_log_file_has_the_lines_and_the_terminal_says_where_the_job_stands(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("results/runs/vae-mnist-1f0c9a42/seed-0/gen-1")
    arguments = [
        "--spec",
        to_json(SPEC),
        "--data",
        small_mnist,
        "--out",
        folder,
        "--log",
        folder / "train.log",
    ]
    assert main(["train", *map(str, arguments)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("vae-mnist-1f0c9a42 seed 0 generation 1 train: ") for line in lines)
    logged = (folder / "train.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in logged] == [line.split(": ", 1)[1] for line in lines]
    told = read_state(folder / "train.log")
    assert (told.job, told.state, told.progress.done, told.progress.total) == ("train", "done", 1, 1)
    assert min(told.work, told.start_up) > 0
    assert json.dumps(
        read_json(folder / "model.json")["spec"], sort_keys=True, separators=(",", ":")
    ) == to_json(SPEC)


def train_arguments(small_mnist: Path, out: Path, spec: TrainSpec = SPEC) -> list[str]:
    folders = ["--data", str(small_mnist), "--out", str(out), "--log", str(out / "train.log")]
    return ["train", "--spec", to_json(spec), *folders]


def test_a_second_attempt_is_made_only_where_it_can_help(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = resolve("vae", {"hidden": 8, "latent": 2, "learning_rate": 1e30}, "m")
    diverging = replace(SPEC, model=model, budget=Budget(images=640))
    failing = train_arguments(small_mnist, tmp_path / "gen-1", diverging)
    for attempt, words in ((1, "training diverged"), (2, "not retried"), (3, "not retried"), (1, "")):
        assert main([*failing, "--attempt", str(attempt)]) == 1
        printed = capsys.readouterr().err
        assert words in printed
        assert ("training on" in printed) is (attempt == 1)
        told = read_state(tmp_path / "gen-1" / "train.log")
        assert (told.state, told.permanent) == ("failed", True)
        assert told.message.endswith("training diverged")
        (tmp_path / "gen-1" / "train.log").write_text("")  # the log decides nothing


@pytest.mark.parametrize(
    "left",
    [
        '{"job": "train", "state": "running", "progress": null}',  # killed there
        '{"job": "train", "state": "failed", "permanent": false, "progress": null, "message": "out of memory"}',
        '{"job": "train", "state": "stopped", "progress": null}',
        '{"job": "train", "state": "fai',
        "",
    ],
)
def test_a_job_that_did_not_fail_permanently_is_tried_again(
    small_mnist: Path, tmp_path: Path, left: str
) -> None:
    out = tmp_path / "gen-2"
    out.mkdir()
    (out / "train.log").write_text("error: what a line of the log says decides nothing\n")
    (out / "train.progress.json").write_text(left)
    assert main([*train_arguments(small_mnist, out), "--attempt", "2"]) == 0
    assert "decides nothing" in (out / "train.log").read_text()  # the first attempt's lines are kept
    assert (read_state(out / "train.log").state, read_state(out / "train.log").attempt) == ("done", 2)


def test_a_failure_nobody_foresaw_is_transient_and_its_traceback_is_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise MemoryError("no room for 3 GB")

    monkeypatch.setattr("bigloop.generation.train.train", broken)
    log = tmp_path / "train.log"
    call = train_arguments(tmp_path, tmp_path)
    assert main(call) == 1
    assert capsys.readouterr().err.endswith("train: failed: MemoryError: no room for 3 GB\n")
    assert "Traceback" in log.read_text()
    told = read_state(log)
    assert (told.state, told.permanent, told.message) == ("failed", False, "MemoryError: no room for 3 GB")
    with pytest.raises(MemoryError):  # called by hand, without a log: Python's own words
        main(call[: call.index("--log")])


def test_on_a_full_disk_a_job_writes_no_file_of_its_state_and_does_its_work(
    small_mnist: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gen-1"
    (out / "train.progress.json").mkdir(parents=True)  # nothing can take a folder's place
    assert main(train_arguments(small_mnist, out)) == 0
    assert (out / "model.json").is_file()


def test_under_a_live_view_a_job_is_silent_and_its_log_is_whole(
    small_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VIEWED, "1")
    assert main(train_arguments(small_mnist, tmp_path)) == 0
    assert capsys.readouterr().err == ""
    assert "training on" in (tmp_path / "train.log").read_text()


@pytest.mark.long
def test_a_job_uses_the_threads_and_the_gpus_it_is_given(small_mnist: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "7"}
    for threads in ("1", "2"):
        out = tmp_path / f"gen-{threads}"
        command = [sys.executable, "-m", "bigloop", *train_arguments(small_mnist, out)]
        subprocess.run([*command, "--threads", threads, "--gpus", "0"], env=environment, check=True)
        assert read_json(out / "model.json")["threads"] == int(threads)
        assert read_json(out / "model.json")["device"] != "cuda"


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (["--gpus", "0"], ""),
        (["--gpus", "0", "--gres="], ""),
        (["--gpus", "0", "--gres", "gpu:1"], "0"),
        ([], "0"),
    ],
)
def test_a_gpu_is_hidden_unless_the_job_was_given_one_as_gpu_or_as_gres(
    given: list[str], seen: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert main(["fetch", "--dataset", "mnist", "--root", str(tmp_path), "--out", str(tmp_path), *given]) == 1
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen


@pytest.mark.long
def test_sigterm_saves_the_state_and_the_same_call_goes_on(small_mnist: Path, tmp_path: Path) -> None:
    long = replace(SPEC, budget=Budget(images=64 * 30_000))
    command = [sys.executable, "-m", "bigloop", *train_arguments(small_mnist, tmp_path / "gen-1", long)]
    process = subprocess.Popen([*command, "--save-every", "0.2", "--threads", "1"], stderr=subprocess.PIPE)
    state = tmp_path / "gen-1" / "train.state.safetensors"
    while not state.is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)  # as Slurm does
    printed = process.communicate(timeout=600)[1].decode()
    assert process.returncode == 143
    step = re.search(r"stopped by SIGTERM; state saved at step ([\d,]+) of 30,000", printed)
    assert step
    told = read_state(tmp_path / "gen-1" / "train.log")
    assert (told.state, told.progress.saved) == ("stopped", int(step.group(1).replace(",", "")))
    assert [path.name for path in state.parent.glob("*.safetensors")] == [state.name]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr
    assert any(f"resuming at step {step.group(1)}" in line.decode() for line in process.stderr)
    process.kill()
    process.communicate()


@pytest.mark.long
def test_a_worker_that_had_to_wait_leaves_what_the_first_one_made(small_mnist: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bigloop", *train_arguments(small_mnist, tmp_path / "gen-1")]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [worker.communicate(timeout=600)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted("another worker has already trained this generation" in text for text in printed) == [
        False,
        True,
    ]


def test_a_job_takes_no_more_threads_than_it_is_given() -> None:
    script = (
        "import threadpoolctl, torch\n"
        "print(max(pool['num_threads'] for pool in threadpoolctl.threadpool_info()), torch.get_num_threads())"
    )
    call = "from bigloop.runtime.job import take_share; take_share(1, None)\n"
    printed = subprocess.run(
        [sys.executable, "-c", call + script], capture_output=True, text=True, check=True, env=unlimited()
    )
    assert printed.stdout.split() == ["1", "1"]


def unlimited() -> dict[str, str]:
    """The environment without the limits of this test run."""
    return {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
