"""Shows answers to their viewers."""
