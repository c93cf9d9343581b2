"""Looking after runs: status, forecasts, Slurm, disk."""
