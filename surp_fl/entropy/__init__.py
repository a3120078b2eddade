"""Entropy coding: integers ↔ bits, and symbols ↔ a range coder. Knows no scheme, no frame and no Flower."""
