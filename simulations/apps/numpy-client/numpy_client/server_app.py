"""The ServerApp: federated averaging, tested by the server after every round."""

from __future__ import annotations

from flwr.common import Context, NDArrays, Scalar, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg

from numpy_client.task import initial_parameters, load_test_data, test


def server_fn(context: Context) -> ServerAppComponents:
    """Make the strategy and the number of rounds."""
    strategy = FedAvg(
        fraction_evaluate=0.0,
        initial_parameters=ndarrays_to_parameters(initial_parameters()),
        evaluate_fn=evaluate,
    )
    config = ServerConfig(num_rounds=int(context.run_config["num-server-rounds"]))
    return ServerAppComponents(strategy=strategy, config=config)


def evaluate(server_round: int, parameters: NDArrays, config: dict[str, Scalar]) -> tuple[float, dict[str, Scalar]]:
    """Test the model with images that no client has."""
    loss, accuracy = test(parameters, *load_test_data())
    print(f"round {server_round}: loss {loss:.4f}, accuracy {accuracy:.4f}")
    return loss, {"accuracy": accuracy}


app = ServerApp(server_fn=server_fn)
