# The loop itself: train generation t on what its loop asks for, and sample it.
#
# Heavy inputs are ancient(): a folder's name is the digest of its science, so a file that was deleted and
# remade is the same file, and must not train the tail of the chain again.


MODEL = {
    "model": f"{GENERATION}/model.safetensors",
    "record": f"{GENERATION}/model.json",
    "history": f"{GENERATION}/history.csv",
    "rows": f"{GENERATION}/rows.safetensors",
}
OPTIMIZER = {"optimizer": f"{GENERATION}/{OPTIMIZER_FILE}"}

# Twice the same rule: where a loop continues from a model, the state of its optimisers is kept, too.
for name, folders, outputs in (
    ("train", {*by_folder, *by_first_folder} - continuing - {*imported}, MODEL),
    ("train_continuing", continuing - {*imported}, MODEL | OPTIMIZER),
):

    rule:
        name:
            name
        input:
            data=lambda w: ancient(data(trained_run(w))),
            previews=lambda w: ancient(training_previews(w)),
            selections=lambda w: ancient(training_selections(w)),
            previous=lambda w: ancient(continued_files(w)),
        output:
            **outputs,
        log:
            f"{GENERATION}/train.log",
        benchmark:
            f"{GENERATION}/train.benchmark.tsv"
        wildcard_constraints:
            folder=one_of(sorted(folders)),
        priority: lambda w: to_come(w)
        conda:
            "../../envs/bigloop.yaml"
        threads: 1
        resources:
            gpu=GPU,
            gres="",
            mem_mb=lambda w, attempt: attempt
            * resources.training_memory(train_spec(w), trained_run(w).spec.handover),
            runtime=lambda w, attempt: attempt * resources.training_minutes(train_spec(w)),
            attempt=lambda w, attempt: attempt,
        params:
            spec=lambda w: to_json(train_spec(w)),
        shell:
            "python -m bigloop train --spec {params.spec:q} --previews {input.previews:q} "
            "--selections {input.selections:q} --previous {input.previous:q} --outputs {output:q} "
            f"--data {folder('input.data')} --out {folder('output.model')} "
            f"{SAVE} {KEEP} {SNAPSHOTS}{MACHINE} {GRES}"


rule import_weights:
    input:
        data=lambda w: ancient(data(imported[w.folder])),
        weights=lambda w: ancient(given_file(w)),
    output:
        **MODEL,
    log:
        f"{GENERATION}/import.log",
    wildcard_constraints:
        folder=one_of(sorted({*imported} - given_samples)),
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt
        * resources.training_memory(train_spec(w), trained_run(w).spec.handover),
        runtime=10,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(train_spec(w)),
    shell:
        "python -m bigloop import --spec {params.spec:q} --weights {input.weights:q} "
        f"--data {folder('input.data')} --out {folder('output.model')} {MACHINE}"


rule import_samples:
    input:
        samples=lambda w: ancient(given_file(w)),
    output:
        samples=f"{GENERATION}/samples.safetensors",
        preview=f"{GENERATION}/preview.safetensors",
        record=f"{GENERATION}/import.json",
    log:
        f"{GENERATION}/import.log",
    wildcard_constraints:
        folder=one_of(sorted(given_samples)),
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt * resources.importing_memory(import_spec(w)),
        runtime=10,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(import_spec(w)),
    shell:
        "python -m bigloop import_samples --spec {params.spec:q} --samples {input.samples:q} "
        f"--out {folder('output.samples')} {MACHINE}"


rule train_auxiliary:
    input:
        model=lambda w: settled(opposing[w.folder], model_files(opposing[w.folder], w.seed, w.t)),
    output:
        f"{GENERATION}/{AUXILIARY_FILE}",
    log:
        f"{GENERATION}/auxiliary.log",
    benchmark:
        f"{GENERATION}/auxiliary.benchmark.tsv"
    wildcard_constraints:
        folder=one_of(sorted(opposing)),
    priority: lambda w: to_come(w)
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=GPU,
        gres="",
        mem_mb=lambda w, attempt: attempt
        * resources.training_memory(
            resources.auxiliary(opposing[w.folder].spec), opposing[w.folder].spec.handover
        ),
        runtime=lambda w, attempt: attempt
        * resources.training_minutes(resources.auxiliary(opposing[w.folder].spec)),
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(auxiliary_spec(w)),
    shell:
        "python -m bigloop train_auxiliary --spec {params.spec:q} "
        f"--model {folder('input.model[0]')} --out {folder('output')} {SAVE} {MACHINE} {GRES}"


rule sample:
    input:
        model=lambda w: settled(run_of(w), model_files(run_of(w), w.seed, w.t)),
        auxiliary=lambda w: settled(run_of(w), auxiliary_file(w)),
    output:
        samples=f"{GENERATION}/samples.safetensors",
        preview=f"{GENERATION}/preview.safetensors",
    log:
        f"{GENERATION}/sample.log",
    benchmark:
        f"{GENERATION}/sample.benchmark.tsv"
    wildcard_constraints:
        folder=one_of(sorted({*by_folder} - given_samples)),
    priority: lambda w: to_come(w)
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=GPU,
        gres="",
        mem_mb=lambda w, attempt: attempt * resources.sampling_memory(sample_spec(w), run_of(w).spec.dataset),
        runtime=lambda w, attempt: attempt * resources.sampling_minutes(sample_spec(w)),
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(sample_spec(w)),
    shell:
        "python -m bigloop sample --spec {params.spec:q} "
        "--auxiliary {input.auxiliary:q} "
        f"--model {folder('input.model[0]')} --out {folder('output.samples')} {SAVE} {MACHINE} {GRES}"


rule select:
    input:
        preview=lambda w: ancient(generation(w.folder, w.seed, w.t, "preview.safetensors")),
        classifier=lambda w: ancient(selecting_classifier(w)),
        data=lambda w: ancient(data(run_of(w))),
        real=lambda w: ancient(let_through(run_of(w), w.seed)),
    output:
        f"{GENERATION}/selected.safetensors",
    log:
        f"{GENERATION}/select.log",
    wildcard_constraints:
        folder=one_of(sorted(selecting)),
    priority: lambda w: to_come(w)
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt * resources.sampling_memory(sample_spec(w), run_of(w).spec.dataset),
        runtime=lambda w, attempt: attempt * 30,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(selection_spec(w)),
    shell:
        "python -m bigloop select --spec {params.spec:q} --preview {input.preview:q} "
        "--classifier {input.classifier:q} --let-through {input.real:q} "
        f"--data {folder('input.data')} --out {folder('output')} {MACHINE}"


rule filter:
    input:
        classifier=lambda w: ancient(judge_of(filtering[w.folder].spec.looped.filter)),
        data=lambda w: ancient(data(filtering[w.folder])),
    output:
        "results/runs/{folder}/seed-{seed}/gen-0/selected.safetensors",
    log:
        "results/runs/{folder}/seed-{seed}/gen-0/filter.log",
    wildcard_constraints:
        folder=one_of(sorted(filtering)),
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt * resources.filtering_memory(filtering[w.folder].spec.dataset),
        runtime=lambda w, attempt: attempt * 30,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(filter_spec(w)),
    shell:
        "python -m bigloop filter --spec {params.spec:q} --classifier {input.classifier:q} "
        f"--data {folder('input.data')} --out {folder('output')} {MACHINE}"
