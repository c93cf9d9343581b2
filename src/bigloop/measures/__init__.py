"""Samples to measures, with the real-against-real floors. Records go to measures.json."""
