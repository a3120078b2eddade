"""The ClientApp: fine-tunes the adapters to one client's text."""

from __future__ import annotations

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from torch_lora.task import load_data, model_with
from torch_lora.task import train as train_adapters

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received adapters on this client's text; the base model stays as it is."""
    text = load_data(int(context.node_config["partition-id"]))
    model = model_with(message.content.array_records["arrays"].to_torch_state_dict())
    torch.manual_seed(int(message.content.config_records["config"]["server-round"]))  # type: ignore[arg-type]
    loss = train_adapters(
        model,
        text,
        int(context.run_config["local-steps"]),
        int(context.run_config["batch-size"]),
        float(context.run_config["learning-rate"]),
    )
    metrics = MetricRecord({"train_loss": loss, "num-examples": len(text)})
    return Message(RecordDict({"arrays": ArrayRecord(model.adapters()), "metrics": metrics}), reply_to=message)
