"""Field types that several schemas share."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from kit.text import clean, is_blank

MAX_NAME_CODE_POINTS = 100

Status = Literal["queued", "streaming", "complete", "stopped", "failed"]
Text = Annotated[str, AfterValidator(clean)]


def not_too_long(text: str, info: ValidationInfo) -> str:
    """The limit is a setting, which the endpoint passes in the context; 0 means no limit."""
    limit = (info.context or {}).get("message_code_points", 0)
    if limit and len(text) > limit:
        raise ValueError(f"must have at most {limit} characters")
    return text


def _not_blank(text: str) -> str:
    if is_blank(text):
        raise ValueError("must not be empty")
    return text


def _is_short(text: str) -> str:
    if len(text) > MAX_NAME_CODE_POINTS:
        raise ValueError(f"must have at most {MAX_NAME_CODE_POINTS} characters")
    return text


Name = Annotated[
    str, AfterValidator(clean), AfterValidator(str.strip), AfterValidator(_not_blank), AfterValidator(_is_short)
]
Content = Annotated[str, AfterValidator(clean), AfterValidator(_not_blank), AfterValidator(not_too_long)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of a token, in hexadecimal")]

AddressHash = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", description="keyed hash of the client's address, in hexadecimal")
]


class Output(BaseModel):
    """Part of a response. Responses contain every field, also those that have a default here."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class Error(BaseModel):
    """`errors` is present in some 422 responses only."""

    detail: str
    errors: "list[Problem] | None" = None


class Problem(BaseModel):
    at: str
    problem: str
