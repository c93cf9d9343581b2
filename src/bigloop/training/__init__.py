"""Training by gradients: the step loop, resume, recorded steps, averages, devices."""


class DivergedError(RuntimeError):
    """A loss became NaN or infinite. The message names it and the step; nothing of the model is kept."""
