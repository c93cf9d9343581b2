# Loops on known densities: one job simulates a block of seeds and generations, and measures it.


rule simulate:
    input:
        before=lambda w: ancient(block_before(w)),
    output:
        measures=f"{BLOCK}/measures.csv",
        points=f"{BLOCK}/points.safetensors",
        state=f"{BLOCK}/state.safetensors",
    log:
        f"{BLOCK}/simulate.log",
    benchmark:
        f"{BLOCK}/simulate.benchmark.tsv"
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt * resources.simulating_memory(*block_of(w)),
        runtime=lambda w, attempt: attempt * resources.SIMULATING_MINUTES,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(experiment.simulate(*block_of(w))),
    shell:
        "python -m bigloop simulate --spec {params.spec:q} "
        f"--out {folder('output.state')} {SAVE} {MACHINE}"


rule measure_density:
    output:
        f"{HOME}/floor/{{dataset}}.json",
    log:
        f"{HOME}/floor/{{dataset}}.log",
    wildcard_constraints:
        dataset=one_of(experiment.densities),
    conda:
        "../../envs/bigloop.yaml"
    threads: 1
    resources:
        gpu=0,
        mem_mb=lambda w, attempt: attempt * 4000,
        runtime=lambda w, attempt: attempt * 30,
        attempt=lambda w, attempt: attempt,
    params:
        spec=lambda w: to_json(experiment.density_floor(w.dataset)),
    shell:
        "python -m bigloop measure --density --spec {params.spec:q} --out {output:q} " f"{MACHINE}"
