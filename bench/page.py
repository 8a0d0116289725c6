"""S5: the first load of a chat page in a real browser, and its responsiveness while an answer is written."""

import asyncio
import shutil
from collections import Counter

from playwright.async_api import Browser, Page, async_playwright

from bench import systems
from bench.table import format_table

THROTTLE = 4  # simulated slowdown of the processor
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TYPING_SECONDS = 8

_OBSERVE = """
window.shift = 0; window.slowest = 0;
new PerformanceObserver(list => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shift += e.value })
  .observe({type: 'layout-shift', buffered: true});
new PerformanceObserver(list => {
  for (const e of list.getEntries()) window.slowest = Math.max(window.slowest, e.duration)
}).observe({type: 'event', durationThreshold: 16, buffered: true});
"""


async def page() -> str:
    browser_path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not browser_path:
        return f"\nS5 was skipped: no Chromium found (looked for {', '.join(CHROMIUM)})."
    async with (
        systems.model_server() as model,
        systems.runnel(1, LLAMA_URL=model.url) as runnel,
        async_playwright() as playwright,
    ):
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=browser_path, args=arguments)
        tab, address = await _new_chat(browser, runnel.url)
        kib = await _load(tab, address)
        shift, slowest = await _type_while_streaming(tab)
        await browser.close()
    body = [(kind, str(len(sizes)), f"{sum(sizes):.1f}") for kind, sizes in sorted(kib.items())]
    body.append(("all", str(sum(map(len, kib.values()))), f"{sum(map(sum, kib.values())):.1f}"))
    text = format_table("S5: the first load of a chat page", body, ("", "requests", "KiB, compressed"))
    figures = f"layout shift {shift:.3f}, slowest key {slowest:.0f} ms until the next paint."
    return f"{text}\n\nWhile an answer streams, on a processor slowed down {THROTTLE} times: {figures}"


async def _new_chat(browser: Browser, url: str) -> tuple[Page, str]:
    """Create a chat. Returns a new tab with the same session and an empty cache, and the chat's address."""
    context = await browser.new_context(base_url=url)
    tab = await context.new_page()
    await tab.goto("/")
    await tab.fill("#username", "bench")
    await tab.press("#username", "Enter")
    await tab.wait_for_url("**/chats/*")
    fresh = await browser.new_context(storage_state=await context.storage_state())
    return await fresh.new_page(), tab.url


async def _load(tab: Page, address: str) -> dict[str, list[float]]:
    """Load the page and return the KiB of each request, by resource type."""
    tools = await tab.context.new_cdp_session(tab)
    kinds: dict[str, str] = {}
    bodies: Counter[str] = Counter()
    finished: dict[str, float] = {}  # includes headers; the only figure for uncompressed responses
    tools.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]}))
    tools.on("Network.loadingFinished", lambda event: finished.update({event["requestId"]: event["encodedDataLength"]}))
    tools.on("Network.dataReceived", lambda event: bodies.update({event["requestId"]: event["encodedDataLength"]}))
    await tools.send("Network.enable")
    await tab.add_init_script(_OBSERVE)
    await tab.goto(address)
    await tab.evaluate("navigator.serviceWorker.ready.then(() => 1)")
    kib: dict[str, list[float]] = {}
    for request, kind in kinds.items():
        kib.setdefault(kind, []).append((bodies[request] or finished.get(request, 0.0)) / 1024)
    await tools.send("Emulation.setCPUThrottlingRate", {"rate": THROTTLE})
    return kib


async def _type_while_streaming(tab: Page) -> tuple[float, float]:
    """Return the layout shift and the slowest key in ms while an answer streams."""
    await tab.fill("#content", '{"id":"page","tokens":600,"rate":50,"prompt_ms":0}')
    await tab.press("#content", "Enter")
    await tab.wait_for_selector("article.assistant.live:last-of-type .content p")
    await tab.evaluate("window.shift = 0")
    for _ in range(TYPING_SECONDS):
        await tab.keyboard.type("hello ")
        await asyncio.sleep(1)
    shift, slowest = await tab.evaluate("[window.shift, window.slowest]")
    return shift, slowest
