"""What goes down to clients: the whole model, or what changed since the version that a node holds."""
