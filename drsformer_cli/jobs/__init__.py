"""The loop around a model: where results go, what is done already, reading and writing beside its work."""
