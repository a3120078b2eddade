"""The ClientApp: a NumPyClient that trains the network on one client's images."""

from __future__ import annotations

from flwr.client import Client, ClientApp, NumPyClient
from flwr.common import Context, NDArrays, Scalar

from numpy_client.task import load_data, train


class FlowerClient(NumPyClient):
    """Trains on one client's images."""

    def __init__(self, context: Context) -> None:
        self.partition_id = int(context.node_config["partition-id"])
        self.images, self.labels = load_data(self.partition_id, int(context.node_config["num-partitions"]))
        self.run_config = context.run_config

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train the received model; give its parameters, and the number of images."""
        trained = train(
            parameters,
            self.images,
            self.labels,
            epochs=int(self.run_config["local-epochs"]),
            learning_rate=float(self.run_config["learning-rate"]),
            batch_size=int(self.run_config["batch-size"]),
            seed=self.partition_id,
        )
        return trained, len(self.labels), {}


def client_fn(context: Context) -> Client:
    """Make the client of a node."""
    return FlowerClient(context).to_client()


app = ClientApp(client_fn=client_fn)
