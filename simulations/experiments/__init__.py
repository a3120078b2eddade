"""Commands that run the app and keep what they measured: `python -m simulations.experiments.compare`."""
