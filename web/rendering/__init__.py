"""Rendering of texts and events to HTML. Nothing in here does I/O except for loading templates and static files."""
