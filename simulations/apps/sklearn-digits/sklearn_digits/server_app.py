"""The ServerApp: federated averaging, tested by the server after every round."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from sklearn_digits.task import initial_parameters, model_with, test

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run all rounds."""
    strategy = FedAvg(fraction_evaluate=0.0)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_parameters()),
        num_rounds=int(context.run_config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )


def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
    """Test the model with images that no client has."""
    loss, accuracy = test(model_with(arrays.to_numpy_ndarrays()))
    print(f"round {server_round}: loss {loss:.4f}, accuracy {accuracy:.4f}")
    return MetricRecord({"loss": loss, "accuracy": accuracy})
