"""Speed and memory of the codec and of the server, beside their peers."""
