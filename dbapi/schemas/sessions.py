"""Sessions and the devices that open them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field

from dbapi.schemas.fields import Output, Sha256, Text

DeviceName = Annotated[Text, Field(max_length=100, description="helps the owner to recognize the device")]


class DeviceToken(BaseModel):
    token_hash: Sha256


class NewDevice(DeviceToken):
    name: DeviceName = ""


class LinkedDevice(NewDevice):
    """A device that joins a session with the token of a link."""

    link_hash: Sha256


class NewLink(BaseModel):
    token_hash: Sha256


class LinkMade(Output):
    seconds: Annotated[int, Field(description="how long the link can be used")]


class DeviceRecord(Output):
    id: UUID
    name: str
    token_hash: Annotated[str, BeforeValidator(lambda value: value.hex() if isinstance(value, bytes) else value)]
    created_at: datetime
    last_seen_at: datetime


class DeviceList(Output):
    devices: list[DeviceRecord]


class SignedOut(Output):
    signed_out: int


class OpenedSession(Output):
    session_id: UUID
