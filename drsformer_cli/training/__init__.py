"""Making models: rain, data, and the training loop."""
