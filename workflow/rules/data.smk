# Real data, verified and stored once, and the classifier that is trained on them.


rule fetch:
    output:
        train=f"{DATA}/train.safetensors",
        test=f"{DATA}/test.safetensors",
    log:
        f"{DATA}/fetch.log",
    retries: 1
    localrule: True  # compute nodes often have no network
    conda:
        "../../envs/bigloop.yaml"
    resources:
        gpu=0,
        mem_mb=2000,
        runtime=30,
        attempt=1,  # a download that failed may well work the next time
    params:
        spec="{dataset}",
    shell:
        # Where the files come from is not a param: it changes nothing, their MD5s are checked.
        f"python -m bigloop fetch --dataset {{params.spec:q}} --out {folder('output.train')} "
        + (f"--root {literal(str(experiment.root))} " if experiment.root else "")
        + MACHINE


rule classify:
    input:
        train=ancient(f"{DATA}/train.safetensors"),
        test=ancient(f"{DATA}/test.safetensors"),
    output:
        model="results/classifier/{dataset}-{digest}/model.safetensors",
        record="results/classifier/{dataset}-{digest}/model.json",
        reference="results/classifier/{dataset}-{digest}/reference.safetensors",
    log:
        "results/classifier/{dataset}-{digest}/classify.log",
    benchmark:
        "results/classifier/{dataset}-{digest}/classify.benchmark.tsv"
    wildcard_constraints:
        digest=r"[0-9a-f]{8}",
    priority: 10_000  # every measurement waits for it
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=GPU,
        mem_mb=lambda w, attempt: attempt * 4000,
        runtime=lambda w, attempt: attempt * 60,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda wildcards: to_json(experiment.classifiers[wildcards.dataset]),
    shell:
        "python -m bigloop classify --spec {params.spec:q} "
        f"--data {folder('input.train')} --out {folder('output.model')} "
        f"{SAVE} {MACHINE}"
