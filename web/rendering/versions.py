"""The version of a file in its URL: a hash of its content."""

import hashlib

CHARACTERS = 10


def version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:CHARACTERS]
