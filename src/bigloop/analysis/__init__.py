"""What the measures say: trends, verdicts, claims. Tables in, tables out; no drawing, no torch."""
