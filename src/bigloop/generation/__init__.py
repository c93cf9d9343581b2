"""One generation of one run: gather its training rows, fit a model, sample it.

A generation's files, in its folder: `model.safetensors`, `model.json`, `history.csv`, `rows.safetensors` (which rows it
trained on: `real`, row numbers of the real training set, and for each earlier generation, by its number, those of its
samples), `optimizer.safetensors` (where a loop continues from it), `samples.safetensors`, and `preview.safetensors`,
the first rows of the samples, whose header has the checksum of them all. Samples may be deleted to save disk: whoever
needs them makes them again from the weights, and checks that they are the same.

What some trainings leave besides, no job waits for: `steps.csv`, what the losses and gradient norms of every step were
(families that say `records_steps`), and `snapshots.safetensors`, samples of the same latents before, in and after the
training (where the config's `storage.snapshots` asks for them).
"""
