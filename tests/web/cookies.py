"""Session cookies, valid and forged."""

import hashlib
import time

from itsdangerous import TimestampSigner

from tests.stack import SECRET_KEY, Service, client
from tests.web.visitor import HTML, Visitor

NEW_KEY = "new-secret-key-of-the-tests-9876543210fedcba"
DAY = 86_400


def signed(token: str | bytes, key: str = SECRET_KEY, age: float = 0, salt: str = "runnel.device") -> str:
    """A cookie as web would have signed it `age` seconds ago."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int(time.time() - age)

    return Then(key, salt=salt, digest_method=hashlib.sha256).sign(token).decode("latin-1")


def token_of(visitor: Visitor) -> str:
    return visitor.http.cookies["runnel"].rsplit(".", 2)[0]


async def status_with(web: Service, chat: str, cookie: str | bytes) -> int:
    """The status of the chat page for this Cookie header."""
    async with client(web.url, headers={"Accept": HTML}) as http:
        return (
            await http.get(chat, headers=[(b"Cookie", cookie if isinstance(cookie, bytes) else cookie.encode())])
        ).status_code
