"""Damaged, invented and expensive messages against every decoder."""
