# One rule for each figure that the config asks for: plot_samples, plot_fid, … They read tables and previews only. And the
# page in which all can be looked at.


for figure in experiment.figures:

    rule:
        name:
            f"plot_{figure}"
        input:
            tables=rules.collect.output,
            previews=ancient(
                previews() if "images" in declared("figures")[experiment.kinds[figure]].needs else []
            ),
            classifiers=ancient(trained(experiment.shown_by(figure))),
            points=(
                block_files("points.safetensors")
                if "points" in declared("figures")[experiment.kinds[figure]].needs
                else []
            ),
        output:
            film(figure),
            pdf=f"{HOME}/figures/{figure}.pdf",
            png=report(
                f"{HOME}/figures/{figure}.png",
                caption="../report/figure.rst",
                category="Figures",
                labels={"figure": figure.replace("_", " ")},
            ),
        log:
            f"{HOME}/figures/{figure}.log",
        group:
            # Where a profile puts the tables into a group, every figure goes with them, whatever its name.
            lambda w: workflow.group_settings.overwrite_groups.get(rules.collect.rule.name)
        conda:
            "../../envs/bigloop.yaml"
        resources:
            gpu=0,
            mem_mb=1000,
            runtime=10,
            attempt=lambda w, attempt: attempt,
        params:
            spec=to_json(experiment.plot(figure)),
            caption=declared("figures")[experiment.kinds[figure]].caption,  # for the report
        shell:
            "python -m bigloop plot --spec {params.spec:q} " f"--home {folder('output.pdf', up=2)} {MACHINE}"


if experiment.explorer:

    rule explore:
        input:
            tables=rules.collect.output,
            previews=ancient(previews(experiment.explorer.seeds)),
            points=block_files("points.safetensors"),
        output:
            report(f"{HOME}/explorer.html", caption="../report/explorer.rst", category="Explorer"),
        log:
            f"{HOME}/explorer.log",
        group:
            lambda w: workflow.group_settings.overwrite_groups.get(rules.collect.rule.name)
        conda:
            "../../envs/bigloop.yaml"
        resources:
            gpu=0,
            mem_mb=1000,
            runtime=10,
            attempt=lambda w, attempt: attempt,
        params:
            spec=to_json(experiment.explore()),
        shell:
            "python -m bigloop explore --spec {params.spec:q} " f"--home {folder('output')} {MACHINE}"
