"""Ids in URLs: a UUID in its one canonical form. Anything else is no such place."""

from uuid import UUID

from starlette.convertors import Convertor, register_url_convertor


class IdConvertor(Convertor[UUID]):
    regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?!\n)"  # a route ends with $, which lets a line feed follow

    def convert(self, value: str) -> UUID:
        return UUID(value)

    def to_string(self, value: UUID) -> str:
        return str(value)


def register() -> None:
    """Makes `{chat_id:id}` known to routes."""
    register_url_convertor("id", IdConvertor())
