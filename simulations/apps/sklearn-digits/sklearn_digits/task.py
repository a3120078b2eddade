"""The model, its data and its training."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

TEST_IMAGES = 360  # of 1,797; the server tests with them, and no client sees them
PIXELS, CLASSES = 64, 10

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


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
    return images[order] / 16, labels[order]


def initial_parameters() -> list[Floats]:
    """Zeros: 650 parameters, in float64 as scikit-learn keeps them."""
    return [np.zeros((CLASSES, PIXELS)), np.zeros(CLASSES)]


def model_with(parameters: list[Floats], iterations: int = 1, regularization: float = 1.0) -> LogisticRegression:
    """A model with these parameters, which fit() trains on."""
    model = LogisticRegression(C=regularization, max_iter=iterations, warm_start=True)
    model.classes_ = np.arange(CLASSES)
    model.coef_, model.intercept_ = parameters
    return model


def train(model: LogisticRegression, images: Floats, labels: Labels) -> list[Floats]:
    """Train the model for its few iterations; give its parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few iterations a round do not converge
        model.fit(images, labels)
    return [model.coef_, model.intercept_]


def test(model: LogisticRegression) -> tuple[float, float]:
    """Give the mean loss and the accuracy of the model on the server's test images."""
    images, labels = load_test_data()
    loss = log_loss(labels, model.predict_proba(images), labels=model.classes_)
    return float(loss), float(model.score(images, labels))
