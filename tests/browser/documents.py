"""Answers for the scripted model."""

SAMPLE = """\
## A **short** tour

Here is a *list* with **bold words**, `code` and [a link](https://example.org/):

- one
- two with **bold** in it
  1. nested
  2. twice
- [ ] a task

| name | count | note |
|:-----|------:|------|
| **a** | 1 | `x` |
| b | 22 | *y* |

```python
def double(x):
    return x * 2  # <b>not bold</b> & **not either**


print(double(21))
```

> A quote, and then ~~nothing~~ the end.
"""

HOSTILE = """\
Look <script>window.pwned = 1; fetch('/pwned')</script> here.

<img src="https://evil.test/pixel.png" onerror="window.pwned = 1">
![a picture](https://evil.test/picture.png "title") ![mine](/pwned) ![data](data:image/png;base64,AAAA)

[a](javascript:window.pwned=1) [b](JaVaScRiPt:window.pwned=1) [c](data:text/html,<script>1</script>) [d](vbscript:x)
[e](//evil.test/x) [f](/chats) [g](https://user:word@evil.test/) <javascript:window.pwned=1> [h](https://good.test/?a=1&b=2)

<button hx-post="/chats" hx-trigger="load" form="composer">press</button> <a data-hx-get="/pwned" hx-on:load="window.pwned=1">x</a>
<hx-partial hx-target="#composer" hx-swap="outerHTML">gone</hx-partial>

<div hx-sse:connect="/pwned" hx-trigger="load" id="composer" class="primary" style="position:fixed;inset:0">over everything</div>

<iframe src="/pwned"></iframe><object data="/pwned"></object><embed src="/pwned"><link rel="stylesheet" href="/pwned">
<base href="https://evil.test/">
<meta http-equiv="refresh" content="0;url=/pwned">
<svg onload="window.pwned=1"><use href="/pwned#x"/></svg><math><maction actiontype="statusline">x</maction></math>
<form action="/pwned"><input name="content" autofocus onfocus="window.pwned=1"></form>
<style>* { display: none }</style>

[r]: javascript:window.pwned=1 "x"
[s]: https://good.test/ "<img src=/pwned onerror=window.pwned=1>"

Both [r] and [s], and [s][r].

```html
<script>window.pwned = 1</script>
</code></pre><img src=/pwned onerror=window.pwned=1>
```

`<img src=/pwned>` &lt;script&gt;window.pwned=1&lt;/script&gt; &#60;script&#62;

event: done
data: <script>window.pwned = 1</script>

</div></article><hx-partial hx-target="body">all of it</hx-partial>
"""  # noqa: E501 (one line each is what the parser must see)

REFERENCES = """\
First [one], then [two][one], and a note[^1].

[one]: https://good.test/one "later defined"

Between [three] and [one] again[^2].

[three]: https://good.test/three
[^1]: The first note, with **bold**.
[^2]: The second note.

The end, with [four], which is not defined.
"""

WIDE = f"""\
| {" | ".join(f"a column {n}" for n in range(14))} |
|{"---|" * 14}
| {" | ".join("some words" for _ in range(14))} |

```
{"a very long line of code that has to scroll inside of its own box; " * 5}
```

{"Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 5} and https://example.org/{"x" * 200}

# {"Überschrift" * 12}

- {"a_long_identifier_" * 20} `{"and_some_code_" * 20}`
"""

PARAGRAPH = (
    "The river runs past the mill, the meadow and the old stone bridge, "
    "and nobody there is in a hurry to see the sea.\n\n"
)

EVERYTHING = f"# A part\n\n{SAMPLE}\n{PARAGRAPH}"

CODE = (
    "for i in range(3):\n"
    "    print(i)  # a line that is much too long for the column it stands in, so that it has to be scrolled\n"
)

CODE_AND_TABLE = f"Look at *this*:\n\n```python\n{CODE}```\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\nDone."

GROWING_CODE = """\
```python
def double(x):
    '''The double
    of one < number & more.'''

    return x * 2  # "twice"


print(double(21))
"""
