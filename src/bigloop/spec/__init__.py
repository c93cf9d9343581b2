"""Specifications of runs and jobs: declared once, parsed strictly, digested canonically."""
