"""Pictures of stripes, 12×12, two classes by their direction."""

import numpy as np

from bigloop.data import Contents, Listing, SourceOptions
from bigloop.seeding import numpy_generator

ROWS = {"train": 400, "test": 200}


class Stripes:
    """Noisy stripes, made by seed."""

    Options = SourceOptions
    about = "Noisy stripes, made by seed."
    revision = 1
    handover = "uint8"

    def listing(self, options, root):
        counts = {split: (rows // 2, rows // 2) for split, rows in ROWS.items()}
        return Listing((1, 12, 12), counts, ("upright", "level"))

    def contents(self, options, root):
        labels = {split: np.arange(rows, dtype=np.int64) % 2 for split, rows in ROWS.items()}
        return Contents(labels, self.take, "a formula")

    def take(self, split, rows):
        upright = np.tile(np.arange(12) // 3 % 2, (12, 1))
        noise = numpy_generator(0, 0, split).integers(0, 100, (ROWS[split], 1, 12, 12))
        drawn = np.stack([upright if row % 2 == 0 else upright.T for row in rows])[:, None]
        return (150 * drawn + noise[rows]).astype(np.uint8)


STRIPES = Stripes()
