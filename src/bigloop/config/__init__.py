"""From a config file to an experiment. Imports no torch."""
