"""What Snakemake's `--logger bigloop` loads: it finds its plugins by this package's name."""

from bigloop.ops.logger import LogHandler

__all__ = ["LogHandler"]
