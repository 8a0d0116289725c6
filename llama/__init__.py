"""The model: llama.cpp's own server, which model it runs, and where models come from."""
