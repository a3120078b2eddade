"""A CNN with batch normalization, in the style of Flower's quickstart-pytorch."""
