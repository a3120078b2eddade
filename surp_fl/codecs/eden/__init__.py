"""EDEN: unbiased estimates from a random rotation and a quantiser of normal coordinates."""
