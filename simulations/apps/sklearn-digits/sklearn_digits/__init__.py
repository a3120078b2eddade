"""Logistic regression, in the style of Flower's quickstart-sklearn."""
