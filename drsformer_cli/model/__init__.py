"""The network and its hyper-parameters. Importing `config` alone does not load torch."""
