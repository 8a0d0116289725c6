"""Markdown as safe HTML: one renderer for the live view, a reload, a shared chat and an export."""

from web.rendering.markdown.rendering import render

__all__ = ["render"]
