# Samples to numbers: each generation's measures, the real floor, the critic × generator matrices, the tables.


rule measure:
    input:
        samples=lambda w: settled(run_of(w), generation(w.folder, w.seed, w.t, "samples.safetensors")),
        selection=lambda w: settled(run_of(w), selection(w)),
        others=lambda w: settled(run_of(w), others(w)),
        model=lambda w: settled(run_of(w), model_files(run_of(w), w.seed, w.t)),
        first=lambda w: settled(run_of(w), first_model_files(run_of(w), w.seed)),
        classifier=lambda w: ancient(classifier(run_of(w).dataset)),
        judges=lambda w: ancient(trained(experiment.judges([run_of(w)]))),
        data=lambda w: ancient([data(run_of(w)), data(run_of(w), "test")]),
    output:
        report(
            f"{GENERATION}/measures.json",
            caption="../report/generation.rst",
            category="Generations",
            labels=lambda w: {"run": run_of(w).name, "seed": w.seed, "generation": w.t},
        ),
    log:
        f"{GENERATION}/measure.log",
    benchmark:
        f"{GENERATION}/measure.benchmark.tsv"
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt
        * resources.measuring_memory(experiment.resolved(run_of(w)), run_of(w).spec.dataset),
        runtime=lambda w, attempt: attempt * resources.measuring_minutes(experiment.resolved(run_of(w))),
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(experiment.measure(run_of(w), int(w.seed), int(w.t))),
    shell:
        "python -m bigloop measure --spec {params.spec:q} --samples {input.samples:q} "
        "--model {input.model:q} --first {input.first:q} "
        "--classifier {input.classifier:q} --judges {input.judges:q} --out {output:q} "
        "--others {input.others:q} "
        f"--selection {{input.selection:q}} --data {folder('input.data[0]')} {MACHINE}"


rule measure_real:
    input:
        classifier=lambda w: ancient(classifier(w.dataset)),
        judges=lambda w: ancient(trained(experiment.judges(experiment.runs_on(w.dataset)))),
        data=lambda w: ancient([data(experiment.runs_on(w.dataset)[0], split) for split in ("train", "test")]),
    output:
        f"{HOME}/floor/{{dataset}}.json",
    log:
        f"{HOME}/floor/{{dataset}}.log",
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt
        * max(
            resources.measuring_memory(experiment.resolved(r), r.spec.dataset)
            for r in experiment.runs_on(w.dataset)
        ),
        runtime=lambda w, attempt: attempt
        * max(
            10 + resources.measuring_minutes(experiment.resolved(r)) for r in experiment.runs_on(w.dataset)
        ),
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(experiment.floor(w.dataset)),
    shell:
        "python -m bigloop measure --floor --spec {params.spec:q} --out {output:q} "
        "--classifier {input.classifier:q} --judges {input.judges:q} "
        f"--data {folder('input.data[0]')} {MACHINE}"


rule critics:
    input:
        models=lambda w: settled(experiment.runs[w.critic], judging_models(w)),
        previews=lambda w: settled(experiment.runs[w.generator], judged_previews(w)),
    output:
        f"{HOME}/critics/{{critic}}-judges-{{generator}}-seed-{{seed}}.json",
    log:
        f"{HOME}/critics/{{critic}}-judges-{{generator}}-seed-{{seed}}.log",
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt * 4000,
        runtime=lambda w, attempt: attempt * 60,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(experiment.critics(w.critic, w.generator, int(w.seed))),
    shell:
        "python -m bigloop critics --spec {params.spec:q} --out {output:q} "
        f"--home {folder('output', up=2)} {MACHINE}"


rule collect:
    input:
        measures=generations("measures.json") + block_files("measures.csv"),
        floor=expand(
            f"{HOME}/floor/{{dataset}}.json",
            dataset=[*experiment.images, *experiment.densities],
        ),
        critics=critic_files(),
    output:
        measures=report(f"{HOME}/tables/measures.csv", caption="../report/measures.rst", category="Tables"),
        runs=report(f"{HOME}/tables/runs.csv", caption="../report/runs.rst", category="Tables"),
        critics=f"{HOME}/tables/critics.csv",
        verdicts=report(f"{HOME}/tables/verdicts.csv", caption="../report/verdicts.rst", category="Tables"),
        claims=report(f"{HOME}/tables/claims.csv", caption="../report/claims.rst", category="Tables"),
        runtime=report(f"{HOME}/tables/runtime.csv", caption="../report/runtime.rst", category="Tables"),
        provenance=f"{HOME}/tables/provenance.json",
    log:
        f"{HOME}/tables/collect.log",
    conda:
        "../../envs/bigloop.yaml"
    resources:
        gpu=0,
        mem_mb=1000,
        runtime=10,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(experiment.collect()),  # a function: the names of files may have wildcards in them
    shell:
        # of many runs, it is longer than a command may be
        f"python -m bigloop collect --spec - --home {folder('output.measures', up=2)} {KEEP} {MACHINE} "
        "<<< {params.spec:q}"
