# The loop itself: train generation t on what its loop asks for, and sample it.
#
# Heavy inputs are ancient(): a folder's name is the digest of its science, so a file that was deleted and
# remade is the same file, and must not train the tail of the chain again.


rule train:
    input:
        data=lambda wildcards: ancient(data(trained_run(wildcards))),
        samples=lambda wildcards: ancient(training_samples(wildcards)),
    output:
        model=f"{GENERATION}/model.safetensors",
        record=f"{GENERATION}/model.json",
        history=f"{GENERATION}/history.csv",
    log:
        f"{GENERATION}/train.log",
    benchmark:
        f"{GENERATION}/train.benchmark.tsv"
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=24 * 60,
    params:
        spec=lambda w: to_json(trained_run(w).spec.train(int(w.seed), int(w.t))),
    shell:
        "python -m bigloop train --spec {params.spec:q} --data $(dirname {input.data:q}) "
        "--samples {input.samples:q} --out $(dirname {output.model:q}) --threads {threads} --log {log:q}"


rule sample:
    input:
        model=lambda w: ancient(model(run_of(w), w.seed, w.t)),
    output:
        samples=f"{GENERATION}/samples.safetensors",
        preview=f"{GENERATION}/preview.safetensors",
    log:
        f"{GENERATION}/sample.log",
    benchmark:
        f"{GENERATION}/sample.benchmark.tsv"
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=lambda w: to_json(run_of(w).spec.sample(int(w.seed), int(w.t))),
    shell:
        "python -m bigloop sample --spec {params.spec:q} --model $(dirname {input.model:q}) "
        "--out $(dirname {output.samples:q}) --threads {threads} --log {log:q}"
