"""The ClientApp: trains the CNN on one client's images."""

from __future__ import annotations

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from pytorch_cnn.task import Net, load_data
from pytorch_cnn.task import train as train_net

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received model on this client's images."""
    torch.manual_seed(int(context.node_config["partition-id"]))
    net = Net()
    net.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    loader = load_data(
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
        int(context.run_config["batch-size"]),
    )
    loss = train_net(net, loader, int(context.run_config["local-epochs"]), float(context.run_config["learning-rate"]))
    arrays = ArrayRecord(net.state_dict())
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(loader.dataset)})  # type: ignore[arg-type]
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)
