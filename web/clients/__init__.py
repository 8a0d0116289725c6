"""Clients of the other services: dbapi and the model server."""
