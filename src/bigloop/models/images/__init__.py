"""Families of images, one a file."""
