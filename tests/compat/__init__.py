"""The library's tests under other versions of Flower, Python and NumPy, each in an environment of its own."""
