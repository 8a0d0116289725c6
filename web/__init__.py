"""What the browser talks to: pages, forms, the stream, and the generation of answers."""
