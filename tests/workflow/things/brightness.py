"""How bright images are, or where points lie."""

from bigloop.metrics import Measure


def brightness(generated, real):
    """The mean of all values of the generated side."""
    return float(generated.mean())


BRIGHTNESS = Measure(brightness, ("images",), limit=100)
