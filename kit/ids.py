"""Ids in URLs: a route matches a UUID only in its canonical form."""

from uuid import UUID

from starlette.convertors import Convertor, register_url_convertor


class IdConvertor(Convertor[UUID]):
    regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

    def convert(self, value: str) -> UUID:
        return UUID(value)

    def to_string(self, value: UUID) -> str:
        return str(value)


def register() -> None:
    """Make `{chat_id:id}` available in routes."""
    register_url_convertor("id", IdConvertor())
