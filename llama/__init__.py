"""Runs llama.cpp's server, chooses the model it serves, and downloads models."""
