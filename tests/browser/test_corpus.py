"""The page shows the same allowed HTML for any split of an answer into tokens."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.browser_user import BrowserUser
from tests.browser.documents import EVERYTHING
from tests.browser.elements import WATCH, not_allowed

pytestmark = pytest.mark.browser

CORPUS = {
    path.stem: path.read_bytes().decode()
    for path in sorted((Path(__file__).parents[1] / "web" / "corpus").glob("*.md"))
}
LENGTH = 60_000  # characters of the long document
MESSAGE_ID = re.compile("message-[0-9a-f-]{36}")


def characters(text: str) -> list[str]:
    return list(text)


def threes(text: str) -> list[str]:
    return [text[at : at + 3] for at in range(0, len(text), 3)]


def paragraphs(text: str) -> list[str]:
    return re.findall(r".+?(?:\n{2,}|\Z)", text, re.DOTALL) or [text]


CUTS: dict[Callable[[str], list[str]], float] = {characters: 1, threes: 2, paragraphs: 40}  # ms between pieces


async def test_the_corpus_looks_the_same_for_any_split_into_tokens(ada: BrowserUser) -> None:
    scripts = [
        json.dumps({"tokens": cut(text), "delay_ms": pause}) for text in CORPUS.values() for cut, pause in CUTS.items()
    ]
    await ada.page.evaluate(WATCH)

    await ada.page.evaluate(SEND_ALL, scripts)

    live = await ada.page.evaluate(ANSWERS)
    came = await ada.page.evaluate("came")
    await ada.page.goto(f"{ada.page.url}?last=500")
    assert len(live) == len(scripts)
    assert await ada.page.evaluate(ANSWERS) == live
    same = [MESSAGE_ID.sub("message", html) for html in live]
    for at, name in enumerate(CORPUS):
        first, *others = same[3 * at : 3 * at + 3]
        assert others == [first, first], name
    stored = [message["content"] for message in await ada.messages() if message["role"] == "assistant"]
    assert stored[1:] == [text for text in CORPUS.values() for _ in CUTS]
    assert len(came) > 10 * len(CORPUS), "it was looked at while it grew"
    assert not_allowed(came) == []


async def test_a_long_document_looks_the_same_for_any_split_into_tokens(ada: BrowserUser) -> None:
    times = LENGTH // len(EVERYTHING)
    await ada.page.evaluate(WATCH)

    for cut in CUTS:
        await ada.say(tokens=cut(EVERYTHING), repeat=times, delay_ms=0)
        await ada.ended()

    live = await ada.page.evaluate(ANSWERS)
    came = await ada.page.evaluate("came")
    await ada.page.reload()
    assert await ada.page.evaluate(ANSWERS) == live
    assert len({MESSAGE_ID.sub("message", html) for html in live}) == 1
    assert [message["content"] == EVERYTHING * times for message in (await ada.messages())[2::2]] == [True] * 3
    assert not_allowed(came) == []


SEND_ALL = """async (messages) => {
  const form = document.getElementById('composer'), articles = document.getElementsByTagName('article');
  for (const message of messages) {
    const before = articles.length, late = Date.now() + 30000;
    const finished = new Promise((done) => form.addEventListener('htmx:finally:request', done, { once: true }));
    form.elements.content.value = message;
    form.requestSubmit();
    await finished;  // until then, htmx drops the next one
    while (articles.length === before || document.querySelector('article.live')) {
      const notice = document.getElementById('notice').textContent;
      const running = document.querySelectorAll('article.live').length;
      const shown = `${articles.length - before} new articles, ${running} running`;
      if (Date.now() > late) throw new Error(`${notice} ${shown}: ${message.slice(0, 200)}`);
      await new Promise((next) => setTimeout(next, 5));
    }
  }
}"""
ANSWERS = "[...document.querySelectorAll('.assistant .content')].slice(1).map((content) => content.innerHTML)"
