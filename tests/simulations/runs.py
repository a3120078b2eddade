"""What tests of the simulations share: a small run on scikit-learn's digits."""

from __future__ import annotations

from simulations.app.row import Row
from simulations.app.settings import Settings
from simulations.engines import in_process

SMALL = Settings(scheme="surp:218", rounds=2, clients=3, dataset="digits", local_steps=3, batch_size=16)


def run_in_process(settings: Settings) -> Row:
    return in_process.in_process(settings, lambda server_round, accuracy, traffic: None)
