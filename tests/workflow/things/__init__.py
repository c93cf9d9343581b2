"""One of each kind of thing that a config may name: a file, and a line here. A plugin, for test_plugins.py."""

FAMILIES = {"pixelwise": "things.pixelwise:Pixelwise"}
SOURCES = {"stripes": "things.stripes:STRIPES"}
DENSITIES = {"slope": "things.slope:Slope"}
MEASURES = {"brightness": "things.brightness:BRIGHTNESS"}
FEATURES = {"column_means": "things.column_means:COLUMN_MEANS"}
FIGURES = {"brightness_bars": "things.brightness_bars:PLOT"}
CLAIMS = {"a_test": "things.claims:CLAIMS"}
RULES = {"thin": "things.thin:THIN"}
SCORES = {"dark": "things.dark:DARK"}
