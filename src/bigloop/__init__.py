"""bigloop: generative models trained, generation after generation, on their own output."""

__version__ = "0.1.0"
