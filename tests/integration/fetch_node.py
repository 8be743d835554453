"""A SIP node's end of the webhook detour as a process of its own, driven by lines of JSON.

stdin: ``{"id": 1, "url": …, "parameters": […]}`` starts a fetch, ``{"cancel": 1}`` cancels it.
stdout: ``{"id": 1, "code": …, "message": …, "body": …}`` per reply.
"""

import asyncio
import json
import sys

import django

django.setup()

from sipdomains.bus import default_bus  # noqa: E402
from sipdomains.celery import publish_fetches  # noqa: E402
from sipserver.adapters.nodebus import NodeBus  # noqa: E402
from sipserver.adapters.webhook_gateway import CeleryWebhookGateway  # noqa: E402


async def main(account_sid: str, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    bus = default_bus()
    gateway = CeleryWebhookGateway(
        "node-under-test", bus, publish_fetches, total_seconds=seconds, margin_seconds=0.5
    )
    nodebus = NodeBus(
        bus, "node-under-test", on_reply=gateway.receive, on_directory_changed=lambda domain: None
    )
    await nodebus.start()
    tasks = {}

    async def fetch(order):
        reply = await gateway.fetch(
            call_sid="CA00000000000000000000000000000002",
            account_sid=order.get("account", account_sid),
            url=order["url"],
            method="POST",
            parameters=[tuple(pair) for pair in order.get("parameters", [])],
            session={},
            verify_tls=True,
        )
        answer = {"id": order["id"], "code": reply.error_code, "message": reply.error_message}
        print(json.dumps(answer | {"body": reply.body}), flush=True)

    print(json.dumps({"ready": True}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        if "cancel" in order:
            tasks[order["cancel"]].cancel()
        else:
            tasks[order["id"]] = loop.create_task(fetch(order))
    await nodebus.stop()
    await asyncio.to_thread(gateway.close)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
