"""What is tested of two visitors, again: once with every condition on the session forgotten in dbapi, once without row-level security."""

from collections.abc import AsyncIterator

import pytest

from tests.stack import Cluster, Service, Stack, running_stack
from tests.web.test_chats import (  # noqa: F401 (collected here as well)
    test_a_stream_that_is_not_there_says_so_in_plain_text,
    test_another_sessions_chat_is_not_there,
    test_the_same_name_of_somebody_else_is_another_chat,
    test_without_a_cookie_no_chat_is_there,
)
from tests.web.test_devices import test_a_device_of_another_session_is_not_there  # noqa: F401
from tests.web.test_foreign_actions import (  # noqa: F401
    test_a_chat_of_another_session_is_not_there,
    test_a_message_of_another_session_is_not_there,
)
from tests.web.test_sessions import test_no_other_way_opens_a_session, test_two_cookies_of_our_name_never_mix_two_sessions  # noqa: F401


@pytest.fixture(scope="module", params=["without conditions", "without row security"])
async def stack(request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("isolation")
    conditions = request.param == "without row security"
    database = await (cluster.without_row_security() if conditions else cluster.new_database())
    module = "dbapi" if conditions else "tests.dbapi.without_conditions"
    async with running_stack(cluster, folder, database=database, dbapi=module) as stack:
        yield stack


@pytest.fixture(scope="module")
async def usual_web(stack: Stack) -> Service:
    return await stack.web()
