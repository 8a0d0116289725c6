"""Chats in groups: pinned ones, then by the day and later the month of their last activity.

The days are those of the reader's time zone. A browser does not send it, so a script keeps it in a cookie.
"""

import re
from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

from web.contract import ListedChat
from web.state import Request

PINNED, ARCHIVED = "Pinned", "Archived"  # the menu of a chat depends on these names, see chats/_list.html
OFFSET_COOKIE = "utc_offset"


class Group(NamedTuple):
    name: str
    chats: list[ListedChat]


def utc_offset(request: Request) -> int:
    """How many minutes the reader's time is ahead of UTC: the server's time, until a script has told the reader's."""
    text = request.cookies.get(OFFSET_COOKIE, "")
    if re.fullmatch("-?[0-9]{1,3}", text):
        return int(text)
    return (datetime.now().astimezone().utcoffset() or timedelta()) // timedelta(minutes=1)


def grouped(chats: Iterable[ListedChat], minutes: int) -> list[Group]:
    """Keeps the order of the chats. `minutes` is the offset from UTC."""
    zone = timezone(timedelta(minutes=minutes))
    today = datetime.now(zone).date()
    groups: dict[str, list[ListedChat]] = {}
    for chat in chats:
        name = PINNED if chat["pinned"] else name_of(_day(chat, zone), today)
        groups.setdefault(name, []).append(chat)
    return [Group(name, members) for name, members in groups.items()]


def name_of(day: date, today: date) -> str:
    days = (today - day).days
    if days < 2:
        return "Yesterday" if days == 1 else "Today"
    if days <= 7:
        return "Previous 7 days"
    return f"{day:%B}" if day.year == today.year else f"{day:%B %Y}"


def _day(chat: ListedChat, zone: timezone) -> date:
    return datetime.fromisoformat(chat["updated_at"]).astimezone(zone).date()
