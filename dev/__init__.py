"""`make dev`: the whole system on one machine, without containers."""
