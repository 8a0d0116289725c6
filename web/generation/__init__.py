"""This process as a worker: it writes answers."""
