# bigloop: generative models trained, generation after generation, on their own output.
#
#   snakemake --cores 2                                   the default experiment, config.yaml
#   snakemake --cores 2 --configfile workflow/experiments/knutsen2025.yaml
#   snakemake --cores 2 classifiers | tables | figures    a part of it

import sys

from snakemake.utils import min_version

min_version("9.27")
sys.setrecursionlimit(10_000)  # a chain of generations is deeper than Python's usual limit


# A config given with --configfile stands alone; without one, config.yaml is the experiment.
if not workflow.config_settings.configfiles:

    configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/calls.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/generations.smk"
include: "workflow/rules/simulations.smk"
include: "workflow/rules/measures.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/start.smk"


rule classifiers:
    input:
        classifier_files(),


rule tables:
    input:
        rules.collect.output,
        generations("measures.json"),  # so that a deleted one is measured again
        block_files("measures.csv"),


rule figures:
    input:
        figure_files(),
        explorer_files(),
        rules.tables.input,


rule all:
    default_target: True
    input:
        rules.figures.input,
