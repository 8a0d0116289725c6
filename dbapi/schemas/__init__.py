"""The JSON of requests and responses. Unknown fields of a request are ignored and never stored."""
