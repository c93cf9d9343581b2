"""What figures share: style, series from the tables, curves, tiles."""
