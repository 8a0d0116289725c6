"""Presets."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from dbapi.schemas.chats import Parameters
from dbapi.schemas.fields import Name, Output, Text, not_too_long


class NewPreset(BaseModel):
    """It replaces the preset with the same name. Without a model, the model server chooses."""

    name: Name
    model: Annotated[Text, Field(max_length=200)] | None = None
    system_prompt: Annotated[Text, AfterValidator(not_too_long)] = ""
    parameters: Parameters = Parameters()


class PresetInList(Output):
    id: UUID
    name: str


class PresetList(Output):
    presets: list[PresetInList]


class PresetRecord(PresetInList):
    model: str | None
    system_prompt: str
    parameters: dict[str, Any]
    created_at: datetime
    updated_at: datetime
