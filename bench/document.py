"""The Markdown that the model server writes: always the same, and every word of it is numbered.

So whoever sees a word knows how far the answer has come, and whether it is the right one.
"""

import functools
import re

WORD = re.compile(rb"(?:\b|(?<=\\n))n(\d+)\b")  # as in "n17", also after a line end in JSON

_BLOCKS = """\
## @ @ @

@ @ @ @ @ **@** @ @ @ @, @ @ `@` @ @ @ @ @ @ *@* @ @ @ @. @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @.

- @ @ @ @ @
- @ @ **@** @
- @ @ [@](https://example.org/) @ @

```python
@ = @(@, @)
for @ in @:
    print(@ + @)
```

@ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @: @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @ @.

| @ | @ |
|---|---|
| @ | @ @ |
| @ | @ @ @ |

1. @ @ @ @ @ @ @ @
2. @ @ @ @ @ @ @

"""


@functools.cache
def pieces(tokens: int) -> list[str]:
    """The answer, token by token; each holds one word."""
    parts = re.findall(r"[^@]*@", _BLOCKS)
    return [parts[number % len(parts)].replace("@", f"n{number}") for number in range(tokens)]


def text(tokens: int) -> str:
    return "".join(pieces(tokens))
