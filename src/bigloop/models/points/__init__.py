"""Families of points, one a file."""
