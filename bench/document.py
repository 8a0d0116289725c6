"""The Markdown that the model server writes. It is always the same and all its words are numbered.

The number of a word shows how many tokens have arrived, and whether they are the expected ones.
"""

import functools
import re

WORD = re.compile(rb"(?:\b|(?<=\\n))n(\d+)\b")  # such as "n17", also after an escaped line feed in JSON

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
def split(tokens: int) -> list[str]:
    """Return the tokens of the answer. Each contains one word."""
    parts = re.findall(r"[^@]*@", _BLOCKS)
    return [parts[number % len(parts)].replace("@", f"n{number}") for number in range(tokens)]


def text(tokens: int) -> str:
    return "".join(split(tokens))
