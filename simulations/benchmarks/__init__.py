"""Speed and memory of the codec and of the server, and sizes of whole models, beside their peers."""
