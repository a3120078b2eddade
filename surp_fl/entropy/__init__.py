"""Integers ↔ bits. Knows bits only: not the paper, not the frame, not Flower."""
