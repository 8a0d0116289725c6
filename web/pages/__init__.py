"""Request handlers, one module per noun."""
