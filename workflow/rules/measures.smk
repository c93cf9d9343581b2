# Samples to numbers: each generation's measures, the real floor, the critic × generator matrices, the tables.


rule measure:
    input:
        samples=ancient(f"{GENERATION}/samples.safetensors"),
        model=lambda w: ancient(model(run_of(w), w.seed, w.t)),
        classifier=lambda w: ancient(classifier(run_of(w).spec.dataset)),
        data=lambda w: ancient([data(run_of(w)), data(run_of(w), "test")]),
    output:
        f"{GENERATION}/measures.json",
    log:
        f"{GENERATION}/measure.log",
    benchmark:
        f"{GENERATION}/measure.benchmark.tsv"
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=60,
    params:
        spec=lambda w: to_json(experiment.measure(run_of(w), int(w.seed), int(w.t))),
    shell:
        "python -m bigloop measure --spec {params.spec:q} --samples {input.samples:q} "
        "--model $(dirname {input.model:q}) --classifier $(dirname {input.classifier:q}) "
        "--data $(dirname {input.data[0]:q}) --out {output:q} --threads {threads} --log {log:q}"


rule measure_real:
    input:
        classifier=lambda w: ancient(classifier(w.dataset)),
        data=ancient(f"{DATA}/train.safetensors"),
    output:
        f"{HOME}/floor/{{dataset}}.json",
    log:
        f"{HOME}/floor/{{dataset}}.log",
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        mem_mb=6000,
        runtime=60,
    params:
        spec=lambda w: to_json(experiment.floor(w.dataset)),
    shell:
        "python -m bigloop measure --floor --spec {params.spec:q} --classifier $(dirname {input.classifier:q}) "
        "--data $(dirname {input.data:q}) --out {output:q} --threads {threads} --log {log:q}"


rule critics:
    input:
        models=lambda w: ancient(judging_models(w)),
        samples=lambda w: ancient(judged_samples(w)),
    output:
        f"{HOME}/critics/{{critic}}-judges-{{generator}}-seed-{{seed}}.json",
    log:
        f"{HOME}/critics/{{critic}}-judges-{{generator}}-seed-{{seed}}.log",
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        spec=lambda w: to_json(experiment.critics(w.critic, w.generator, int(w.seed))),
    shell:
        "python -m bigloop critics --spec {params.spec:q} --results results --out {output:q} "
        "--threads {threads} --log {log:q}"


rule collect:
    input:
        measures=generations("measures.json"),
        floor=expand(f"{HOME}/floor/{{dataset}}.json", dataset=experiment.classifiers),
        critics=critic_files(),
    output:
        measures=f"{HOME}/tables/measures.csv",
        runs=f"{HOME}/tables/runs.csv",
        critics=f"{HOME}/tables/critics.csv",
    log:
        f"{HOME}/tables/collect.log",
    conda:
        "../../envs/bigloop.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=to_json(experiment.collect()),
    shell:
        "python -m bigloop collect --spec {params.spec:q} --results results --log {log:q}"
