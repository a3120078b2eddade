"""LoRA fine-tuning of a small transformer: clients train and send the adapters alone."""
