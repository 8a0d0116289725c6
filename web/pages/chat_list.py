"""The list of chats: next to a chat, and as a page on which several of them can be changed at once."""

import asyncio
import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from kit.ids import IdConvertor
from web.contract import FINAL, Chat, ChatList, ChatsChange, ChatWithMessages, ListedChat
from web.errors import Refused
from web.pages import forms, query
from web.pages.chat_groups import ARCHIVED, Group, grouped, utc_offset
from web.state import Request

LISTED_CHATS = 100  # next to a chat
PAGE_CHATS = 50  # their ids fit into the address of a redirect: nginx allows 4 KB for all headers of a response
CURSOR_CHARACTERS = 100
FIELD = "chat-"  # the name of a checkbox is this and the id of its chat
OTHER_FIELDS = 5


class Action(NamedTuple):
    change: ChatsChange
    done: str  # what has happened to the chats, as a participle
    undo: str = ""  # the action that reverts it


ACTIONS = {
    "pin": Action({"pinned": True}, "pinned", "unpin"),
    "unpin": Action({"pinned": False}, "unpinned", "pin"),
    "archive": Action({"archived": True}, "archived", "unarchive"),
    "unarchive": Action({"archived": False}, "taken out of the archive", "archive"),
    "delete": Action({"deleted": True}, "deleted", "restore"),
    "restore": Action({"deleted": False}, "restored"),
}


async def sidebar(request: Request) -> Response:
    """The list next to a chat: the page's script replaces it after a change. With `?seen=1`, the page is visible."""
    session, chat_id = await request.state["sessions"].require(request), request.path_params["chat_id"]
    dbapi, seen = request.state["dbapi"], str(chat_id) if request.query_params.get("seen") == "1" else ""
    chat, chats = await asyncio.gather(
        dbapi.chat(session, chat_id, last=1), dbapi.chats(session, LISTED_CHATS, seen=seen)
    )
    return request.state["templates"].response("chats/list.html", 200, chat=chat, **values(request, chat, chats))


def values(request: Request, chat: ChatWithMessages, chats: ChatList) -> dict[str, object]:
    """For the template of the list. It always contains this chat, unless that is temporary."""
    minutes, listed = utc_offset(request), chats["chats"]
    is_listed = any(each["id"] == chat["id"] for each in listed)
    is_running = any(message["status"] not in FINAL for message in chat["messages"])
    here = [] if is_listed or chat["is_temporary"] else [_listed(chat, is_running)]
    if here and chat["archived"]:
        groups = [*grouped(listed, minutes), Group(ARCHIVED, here)]
    else:
        groups = grouped([*listed, *here], minutes)
    return {"groups": groups, "list_state": chats["state"], "utc_offset": minutes}


def _listed(chat: Chat, running: bool) -> ListedChat:
    return {**chat, "running": running, "unread": False}


async def index(request: Request) -> Response:
    """All chats but the archived ones. `?after=` is the cursor of the page, and `?chat=` the chat to return to."""
    return await _page(request, await request.state["sessions"].require(request), archived=False)


async def archive(request: Request) -> Response:
    """Like `index`, with the archived chats."""
    return await _page(request, await request.state["sessions"].require(request), archived=True)


async def change(request: Request) -> Response:
    """Applies the action of the pressed button to the chosen chats, and returns to the page it is on."""
    session = await request.state["sessions"].require(request)
    form = await forms.read(request, PAGE_CHATS + OTHER_FIELDS)
    action, archived = form.get("action", ""), request.query_params.get("archived") == "1"
    if action not in ACTIONS:
        raise Refused(422, "This action is not available here.")
    chosen = _ids(name.removeprefix(FIELD) for name in form if name.startswith(FIELD))
    if not chosen:
        return await _page(request, session, archived, "Please choose chats first.", 422)
    changed = await request.state["dbapi"].change_chats(session, chosen, ACTIONS[action].change)
    back = query.id_parameter(request, "chat")
    if action == "delete":
        for chat_id in changed:
            request.state["live_answers"].chat_deleted(UUID(chat_id))
        back = "" if back in changed else back
    address = _address(archived, chat=back, after=_cursor(request), done=action, ids=",".join(changed))
    return RedirectResponse(address, 303)


async def _page(request: Request, session: UUID, archived: bool, notice: str = "", status: int = 200) -> Response:
    after, chat_id = _cursor(request), query.id_parameter(request, "chat")
    chats = await request.state["dbapi"].chats(session, PAGE_CHATS, after=after, archived=archived)
    here = {"archived": "1" if archived else "", "after": after, "chat": chat_id}
    response = request.state["templates"].response(
        "chats/index.html",
        status,
        groups=grouped(chats["chats"], utc_offset(request)),
        archived=archived,
        chat_id=chat_id,
        notice=notice,
        selected=_with_query("/chats/selected", here),
        other=_address(not archived, chat=chat_id),
        first=_address(archived, chat=chat_id) if after else "",
        next=_address(archived, chat=chat_id, after=chats["next"]) if chats["next"] else "",
        **_done(request),
    )
    request.state["sessions"].renew(request, response)
    return response


def _done(request: Request) -> dict[str, object]:
    """What the page says about the change before it, and what reverts that."""
    action, ids = (
        ACTIONS.get(request.query_params.get("done", "")),
        _ids(request.query_params.get("ids", "").split(",")),
    )
    if action is None or not ids:
        return {"done": "", "undo": "", "ids": []}
    return {"done": f"{len(ids)} chat{'s' if len(ids) > 1 else ''} {action.done}.", "undo": action.undo, "ids": ids}


def _address(archived: bool, **parameters: str) -> str:
    return _with_query("/chats/archived" if archived else "/chats", parameters)


def _with_query(path: str, parameters: dict[str, str]) -> str:
    text = urlencode({name: value for name, value in parameters.items() if value}, safe=",")
    return f"{path}?{text}" if text else path


def _cursor(request: Request) -> str:
    """dbapi checks it."""
    return request.query_params.get("after", "")[:CURSOR_CHARACTERS]


def _ids(texts: Iterable[str]) -> list[str]:
    """Those of the texts that are ids, at most as many as a page has."""
    return [text for text in texts if re.fullmatch(IdConvertor.regex, text)][:PAGE_CHATS]
