"""The request for one answer: its prompt, from the branch that leads to it, and its parameters.

When a long chat exceeds the model's context, the oldest turns are left out, many at once. So the beginning of the
prompt stays the same for many turns, and the model server reuses its cache. The cut depends on the messages alone:
every process makes the same one.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

from web.clients.thinking import without_thoughts
from web.contract import GenerationRequest, Message, Prompt, PromptMessage

BYTES_PER_TOKEN = 3.0  # fewer than in most texts, so that the estimate is rather too high
TOKENS_PER_MESSAGE = 8  # of the chat template
SPARE_TOKENS = 64
ASK_FOR_TITLE = (
    "Write a title for this conversation, in the language of the conversation and in at most six words. "
    "Reply with the title only: one line, without quotes and without Markdown."
)
PARAMETERS = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "max_tokens", "seed")


class CompletionRequest(TypedDict, total=False):
    """The body of a request to /v1/chat/completions."""

    messages: list[PromptMessage]
    model: str
    max_tokens: int
    continue_final_message: bool
    add_generation_prompt: bool


class Model(NamedTuple):
    """What the prompt needs to know of the model server."""

    name: str  # empty for the server's default
    max_tokens: int  # of this answer; 0 is no limit
    context: int | None  # tokens
    continues_text: bool


def estimate_tokens(text: str, scale: float = 1.0) -> float:
    return scale * (len(text.encode()) / BYTES_PER_TOKEN + TOKENS_PER_MESSAGE)


def first_in_context(
    messages: Sequence[PromptMessage] | Sequence[Message],
    system_prompt: str,
    context: int | None,
    max_tokens: int,
    scale: float = 1.0,
) -> int:
    """Index of the oldest message in the prompt.

    `context` is the model's size in tokens. The answer may take `max_tokens` of it, or a quarter if that is 0.
    """
    if not context:
        return 0
    room = context - (max_tokens or context // 4) - SPARE_TOKENS - estimate_tokens(system_prompt, scale)
    start, used = 0, 0.0
    for index, message in enumerate(messages):
        used += estimate_tokens(message["content"], scale)
        if used > room:
            while start < index and (used > room / 2 or messages[start]["role"] != "user"):
                used -= estimate_tokens(messages[start]["content"], scale)
                start += 1
    return start


def completion_request(
    parameters: GenerationRequest, prompt: Prompt, written: str, model: Model, scale: float = 1.0
) -> tuple[Mapping[str, object], float]:
    """The body of the request, and an estimate of its prompt in tokens.

    `written` is the text of the answer so far, which the model continues if it can. `scale` corrects the estimate.
    """
    request: dict[str, object] = {name: value for name, value in parameters.items() if name in PARAMETERS}
    request.pop("max_tokens", None)
    if model.max_tokens:
        request["max_tokens"] = model.max_tokens
    if model.name:
        request["model"] = model.name
    messages = _messages(prompt, model, scale)
    if written and model.continues_text:
        messages.append(PromptMessage(role="assistant", content=written))
        request |= {"continue_final_message": True, "add_generation_prompt": False}
    tokens = sum(estimate_tokens(message["content"]) for message in messages)
    return {**request, "messages": messages}, tokens


def title_request(
    parameters: GenerationRequest, prompt: Prompt, answer: str, model: Model, scale: float, max_tokens: int
) -> tuple[dict[str, object], float]:
    """The body of the request for a chat's title, and an estimate of its prompt in tokens.

    It begins with the messages of the request for the answer, exactly as they were sent, and asks after the answer. The
    next answer's prompt begins with the same messages up to there.
    """
    body, _ = completion_request(parameters, prompt, "", model, scale)
    more = [
        _prompt_message({"role": "assistant", "content": answer}),
        PromptMessage(role="user", content=ASK_FOR_TITLE),
    ]
    messages = [*_messages(prompt, model, scale), *more]
    tokens = sum(estimate_tokens(message["content"], scale) for message in messages)
    return {**body, "messages": messages, "max_tokens": max_tokens}, tokens


def _messages(prompt: Prompt, model: Model, scale: float) -> list[PromptMessage]:
    """The system prompt, and the messages that the context has room for."""
    messages = [_prompt_message(message) for message in prompt["messages"]]
    messages = messages[first_in_context(messages, prompt["system_prompt"], model.context, model.max_tokens, scale) :]
    if prompt["system_prompt"]:
        messages.insert(0, PromptMessage(role="system", content=prompt["system_prompt"]))
    return messages


def _prompt_message(message: PromptMessage) -> PromptMessage:
    """An answer may have been stored with its thoughts. Models do not expect them in a prompt."""
    content = message["content"]
    if message["role"] == "assistant" and content.lstrip()[:1] in ("<", "["):
        content = without_thoughts(content)
    return PromptMessage(role=message["role"], content=content)
