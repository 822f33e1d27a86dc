"""The network and its hyper-parameters."""

from drsformer_cli.model.config import DRSformerConfig
from drsformer_cli.model.drsformer import DRSformer

__all__ = ["DRSformer", "DRSformerConfig"]
