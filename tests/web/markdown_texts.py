"""The Markdown that tests stream: the documents of the corpus, long and excessive ones, and random mixtures."""

import re
from pathlib import Path

from hypothesis import strategies as st

CORPUS = {path.stem: path.read_bytes().decode() for path in sorted((Path(__file__).parent / "corpus").glob("*.md"))}
CORPUS |= {
    "long": CORPUS["answer"] * 70,
    "long-fence": "```py\n" + "x = [1, 2]  # <code>\n" * 5000 + "```\n\nend\n",
    "long-paragraph": "word *and* `code` " * 4000,
    "long-table": "| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 1000 + "\nend\n",
    "too-long": "a paragraph\n\n" * 30_000,
    "too-deep": "fine\n\n" + ">" * 200 + "a\n\nfine\n",
    "too-wide": "fine\n\n" + "|a" * 99 + "|\n" + "|-" * 99 + "|\n\nfine\n",
    "too-ragged": "fine\n\n" + "|a" * 40 + "|\n" + "|-" * 40 + "|\n" + "x\n" * 99 + "\nfine\n",
    "ragged-in-fence": "fine\n\n```\n" + "|-" * 40 + "|\n" + "x\n" * 99 + "```\nfine\n\nfine\n",
}
SHORT = [name for name, text in CORPUS.items() if len(text) < 2500]
PIECES = re.findall(r"\w+|[ \t]+|\n+|\r\n?|[^\w\s]+", "".join(CORPUS[name] for name in SHORT))
PIECES += [
    "```",
    "\n```\n",
    "```py\n",
    "~~~",
    "\n\n",
    "\n",
    "- ",
    "[a]: /x\n",
    "\n\n[^1]: x\n",
    "|a|b|\n|-|-|\n",
    "    ",
    "<!--",
    "\r\n",
    "\r",
]
texts = st.lists(st.sampled_from(PIECES), max_size=50).map("".join)
