"""An experiment as one file: what its tables and figures need, checked, and drawn anew wherever it is opened.

    export(Path("results/quickstart"), Path("quickstart.zip"))
    verify(Path("quickstart.zip"))                              # raises ArtifactError, which names the file
    rebuild(Path("quickstart.zip"), Path("quickstart"))         # every figure, from its tables and previews

files.py     which files go in, and the small ones made of large ones
crate.py     what the archive says of itself: RO-Crate 1.1, as a run of bigloop
pack.py      the ZIP file: written, checked
rebuild.py   the figures of an archive, drawn again

Inside, results lie as in a working directory, so that `bigloop.open` and the figures read them as everywhere.
"""
