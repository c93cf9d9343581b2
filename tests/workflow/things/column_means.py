"""How bright each column of an image is: features that need no network."""

from dataclasses import dataclass

from bigloop.data import as_floats
from bigloop.spec.options import option


@dataclass(frozen=True)
class ColumnOptions:
    column_means: int = option(1, "every how manieth column is looked at", minimum=1)


class ColumnMeans:
    about = "Means of columns of pixels."
    Options = ColumnOptions
    revision = 1
    batch = 64

    def weights(self, options):
        return None

    def network(self, options, weights, device):
        return lambda images: as_floats(images)[:, :, :, :: options.column_means].mean(axis=(1, 2))

    def untrained(self, options, device):
        return self.network(options, None, device)


COLUMN_MEANS = ColumnMeans()
