"""Text to HTML."""
