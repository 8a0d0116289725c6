"""Scripts for the model server, and helpers for pages that show their answers."""

from typing import Any

from tests.web.dom import Node
from tests.web.visitor import Visitor

SLOW = {"delay_ms": 6, "first_delay_ms": 60}  # slow enough to be observed
ANSWERS: dict[str, Any] = {
    "prose": {},
    "one word": {"text": "Because."},
    "nothing": {"tokens": [""]},
    "a fence": {"text": "See:\n\n```python\ndef f(x):\n    return x < 2 & 3\n```\n\nThat is it."},
    "an open fence": {"text": "```js\nlet a = '</code></pre>';\n\n\nlet b"},
    "a late definition": {"text": "See [this][x].\n\nMore.\n\n- [x]\n\n[x]: https://e.example\n\nEnd."},
    "a list": {"text": "1. one\n2. two\n   - deep\n\n   more\n3. three\n\nafter"},
    "HTML": {
        "text": "<script>x</script>\n\n</div></article><hx-partial hx-target='#x'>x</hx-partial>\n\n"
        "<b onclick=x>b</b> &lt; &amp;amp;"
    },
    "attributes": {
        "text": '[x](https://e.example "<hx-a hx-post=/X hx-trigger=load ") and '
        '![y](https://e.example/i.png "<head>")\n\n`</head>`'
    },
    "line ends": {
        "tokens": ["a\r", "\nb", "\r\r", "c\u2028d\u2029e\x85f\x0bg\x0ch", "\r\n", "\r\n", "i", "\n", "\r", "\nj"]
    },
    "other protocols": {
        "tokens": [
            "[DONE]",
            "\n\ndata: [DONE]\n\n",
            "event: done\n",
            "data: x\n\n",
            "id: 999.9\n\n",
            "\r\n\r\nretry: 1\n\n",
            ": x",
        ]
    },
    "hard characters": {
        "tokens": ["\ufeff", "a\0b", "e", "\u0301", "👩", "\u200d", "👧", "\u202e", "\u2066", "\ufdd0"]
    },
    "halves": {"tokens": ["x", "\ud83d", "\ude42", "y\ud83d", "\ude42z", "\ud83d", "w", "\ude42", "\ud83d"]},
    "long": {"tokens": ["word " * 50] * 60, "delay_ms": 2},
}
WHOLE_TEXT = {
    "halves": "x🙂y🙂z\ufffdw\ufffd\ufffd",
    "hard characters": "\ufeffa\ufffdbe\u0301👩\u200d👧\u202e\u2066\ufdd0",
}


def script(name: str) -> dict[str, Any]:
    return SLOW | ({"finish_reason": "stop"} | ANSWERS[name] if ANSWERS[name] else {"finish_reason": "stop"})


def text_of(name: str) -> str | None:
    """The expected text of the answer, if the script determines it."""
    if name in WHOLE_TEXT:
        return WHOLE_TEXT[name]
    given = ANSWERS[name]
    return given.get("text") or ("".join(given["tokens"]) if given else None)


async def start_answer(visitor: Visitor, content: Any) -> tuple[str, str, Node]:
    """Starts an answer in a new chat; returns the chat, the answer and the page before its first word."""
    chat = await visitor.begin(new="1")
    message = await visitor.say(chat, content)
    return chat, message, await visitor.page(chat)


async def assert_like_reload(visitor: Visitor, chat: str, message: str, page: Node) -> None:
    """Checks that the answer and its footer look like after a reload."""
    reloaded = await visitor.page(chat)
    for part in (f"#message-{message} .content", f"#message-{message}-footer"):
        assert page.select(part).outer == reloaded.select(part).outer
