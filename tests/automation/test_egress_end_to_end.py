"""A tenant's webhook URL reaches nothing of ours, whatever it is called: real engine, real listeners."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from reactor.testing import drain
from tests.automation.company import Company, automations
from tests.automation.providers import answer, http_receiver

SECRET = "whsec_" + "bmV3IHNlY3JldCBuZXcgc2VjcmV0IG5ldw=="


@asynccontextmanager
async def listener():
    """Something inside that trusts our network: counts who connects, before any TLS."""
    connections = []

    async def accept(reader, writer):
        connections.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], connections


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "127.0.0.1 is not a public address"),
        ("localhost", "is not a public address"),
        ("[::ffff:127.0.0.1]", "hides the IPv4 address 127.0.0.1"),
        ("[64:ff9b::7f00:1]", "hides the IPv4 address 127.0.0.1"),
        ("[::1]", "::1 is not a public address"),
        ("2130706433", "is not a public address"),
        ("169.254.169.254", "169.254.169.254 is not a public address"),
        ("10.1.2.3", "10.1.2.3 is not a public address"),
    ],
)
async def test_an_https_url_to_an_address_of_ours_is_refused_without_a_connection(
    conn, database_url, host, why
):
    async with listener() as (port, connections):
        company = await Company.found(
            conn, alerts={"webhook_url": f"https://{host}:{port}/", "webhook_secret": SECRET}
        )
        await company.alert("disk_full", "warning")
        left = await drain(automations(), database_url)

    assert connections == []
    [row] = [row for row in await company.rows("reactor.alert_deliveries") if row["channel"]]
    assert (row["status"], row["tries"]) == ("failed", 1)  # it would not become better by itself
    assert why in row["error"]
    assert left.delayed == 0


async def test_a_redirect_to_an_address_of_ours_is_not_followed(conn, database_url):
    async with http_receiver() as inside, http_receiver() as receiver:

        async def redirect(request):
            return answer(307, b"", Location=inside.url)

        receiver.respond = redirect
        # Even where private addresses are allowed: who redirects is told so, and tried again.
        company = await Company.found(conn, alerts={"webhook_url": receiver.url, "webhook_secret": SECRET})
        await company.alert("disk_full", "warning")
        await drain(automations(), database_url, webhook_allow_private=True)

    assert inside.requests == []
    [row] = await company.rows("reactor.alert_deliveries")
    assert (row["status"], row["http_status"]) == ("planned", 307)
    assert "redirects are not followed" in row["error"]
