"""Generates answers."""
