"""The model on its way to clients: in full, or as the deltas since the version that a node holds."""
