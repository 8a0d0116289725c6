"""This process as a fan-out: it shows answers to their viewers."""
