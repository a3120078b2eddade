"""The model, its data and its training: a network of one hidden layer, in NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

TEST_IMAGES = 360  # of 1,797; the server tests with them, and no client sees them
PIXELS, HIDDEN, CLASSES = 64, 64, 10

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
Parameters = list[Floats]  # weights and biases of the hidden layer, then of the last one


def load_data(partition_id: int, num_partitions: int) -> tuple[Floats, Labels]:
    """The training images of one client, shape (count, 64), and their labels."""
    images, labels = _digits()
    own = slice(TEST_IMAGES + partition_id, None, num_partitions)
    return images[own], labels[own]


def load_test_data() -> tuple[Floats, Labels]:
    """The test images of the server, and their labels."""
    images, labels = _digits()
    return images[:TEST_IMAGES], labels[:TEST_IMAGES]


def _digits() -> tuple[Floats, Labels]:
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return (images[order] / 16).astype(np.float32), labels[order]


def initial_parameters() -> Parameters:
    """A new model: 4,810 parameters."""
    rng = np.random.default_rng(0)
    shapes = [(PIXELS, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)]
    return [(rng.normal(size=shape) * (len(shape) - 1) / 8).astype(np.float32) for shape in shapes]


def train(
    parameters: Parameters,
    images: Floats,
    labels: Labels,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> Parameters:
    """Give the parameters after some epochs of stochastic gradient descent."""
    rng = np.random.default_rng(seed)
    trained = [array.copy() for array in parameters]
    for _ in range(epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for array, gradient in zip(trained, _gradients(trained, images[batch], labels[batch]), strict=True):
                array -= learning_rate * gradient
    return trained


def _gradients(parameters: Parameters, images: Floats, labels: Labels) -> Parameters:
    hidden, probabilities = _forward(parameters, images)
    wrong = (probabilities - np.eye(CLASSES, dtype=np.float32)[labels]) / len(labels)
    back = (wrong @ parameters[2].T) * (hidden > 0)
    return [images.T @ back, back.sum(0), hidden.T @ wrong, wrong.sum(0)]


def _forward(parameters: Parameters, images: Floats) -> tuple[Floats, Floats]:
    hidden = np.maximum(images @ parameters[0] + parameters[1], 0)
    logits = hidden @ parameters[2] + parameters[3]
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, odds / odds.sum(1, keepdims=True)


def test(parameters: Parameters, images: Floats, labels: Labels) -> tuple[float, float]:
    """Give the mean loss and the accuracy of the model."""
    _, probabilities = _forward(parameters, images)
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-9)).mean()), float((probabilities.argmax(1) == labels).mean())
