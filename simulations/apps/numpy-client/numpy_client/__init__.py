"""An app of Flower's older API, NumPyClient and server_fn, as its quickstarts had it."""
