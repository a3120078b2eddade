"""Sparse binary compression: coordinates of one sign in each array, and their mean."""
