"""The ClientApp: fits the logistic regression to one client's images."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from sklearn_digits.task import load_data, model_with
from sklearn_digits.task import train as train_model

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received model on this client's images."""
    images, labels = load_data(int(context.node_config["partition-id"]), int(context.node_config["num-partitions"]))
    model = model_with(
        message.content.array_records["arrays"].to_numpy_ndarrays(),
        int(context.run_config["local-iterations"]),
        float(context.run_config["regularization"]),
    )
    arrays = ArrayRecord(train_model(model, images, labels))
    metrics = MetricRecord({"train_accuracy": float(model.score(images, labels)), "num-examples": len(labels)})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
