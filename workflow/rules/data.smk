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
        # Where the user's files lie is no param: it changes nothing, what is in them is checked.
        root=lambda w: str(by_data[w.data].root or ""),
    params:
        spec=lambda w: by_data[w.data].argument,
    shell:
        "python -m bigloop fetch --dataset {params.spec:q} --root {resources.root:q} "
        f"--out {folder('output.train')} {MACHINE}"


rule classify:
    input:
        train=lambda w: ancient(f"results/data/{data_folder(judges[w.classifier].dataset)}/train.safetensors"),
        test=lambda w: ancient(f"results/data/{data_folder(judges[w.classifier].dataset)}/test.safetensors"),
    output:
        model="results/classifier/{classifier}/model.safetensors",
        record="results/classifier/{classifier}/model.json",
        reference="results/classifier/{classifier}/reference.safetensors",
    log:
        "results/classifier/{classifier}/classify.log",
    benchmark:
        "results/classifier/{classifier}/classify.benchmark.tsv"
    priority: 10_000  # every measurement waits for it
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=GPU,
        gres="",
        mem_mb=lambda w, attempt: attempt * resources.classifying_memory(judges[w.classifier]),
        runtime=lambda w, attempt: attempt * 60,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(judges[w.classifier]),
    shell:
        "python -m bigloop classify --spec {params.spec:q} "
        f"--data {folder('input.train')} --out {folder('output.model')} "
        f"{SAVE} {MACHINE} {GRES}"
