"""Committed rows, and the tables, plots and README blocks that are made of them."""
