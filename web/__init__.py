"""The web service: pages, forms, streams, and the generation of answers."""
