"""Whole loops on known densities, many seeds at once."""
