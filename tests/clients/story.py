"""What a coordinator does, through the official Python SDK; every structured answer is checked against its schema.

story.py ERA: ERA is `legacy` (an `initialize` handshake) or `auto` (revision 2026-07-28 when the server speaks it; the
SDK's second generation only). URL, TOKEN and PROJECT_DIR come from the environment.
"""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import re
import sys

import jsonschema

ERA = sys.argv[1]
URL, TOKEN, DIRECTORY = (os.environ[name] for name in ("URL", "TOKEN", "PROJECT_DIR"))
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
MODERN = int(importlib.metadata.version("mcp").split(".")[0]) >= 2


@contextlib.asynccontextmanager
async def connected():
    """The client, who the server says it is, and its instructions."""
    if MODERN:
        import httpx2
        from mcp.client.client import Client
        from mcp.client.streamable_http import streamable_http_client

        async with httpx2.AsyncClient(headers=HEADERS, timeout=60) as http:
            transport = streamable_http_client(URL, http_client=http)
            async with Client(transport, mode=ERA) as client:
                yield client, client.server_info, client.instructions
    else:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async with streamablehttp_client(URL, headers=HEADERS) as (read, write, _):
            async with ClientSession(read, write) as client:
                hello = await client.initialize()
                yield client, hello.serverInfo, hello.instructions


def wire(value):
    """What came over the wire, under the names it had there."""
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True)


async def story():
    async with connected() as (client, server, instructions):
        assert server.name == "vibe-ensemble", server
        assert re.match(r"\d+\.\d+\.\d+", server.version), server
        assert server.icons[0].src.startswith("data:image/svg+xml"), server
        assert "list_events" in instructions and len(instructions.encode()) <= 2048

        tools = wire(await client.list_tools())["tools"]
        again = wire(await client.list_tools())["tools"]
        assert [tool["name"] for tool in tools] == [tool["name"] for tool in again], "the order is fixed"
        schemas = {tool["name"]: tool["outputSchema"] for tool in tools}
        called = set()

        async def call(name, arguments=None, **options):
            # The SDK checks the answer against the schema too, and raises.
            result = wire(await client.call_tool(name, arguments or {}, **options))
            assert not result.get("isError"), (name, result)
            structured = result["structuredContent"]
            jsonschema.validate(structured, schemas[name], cls=jsonschema.Draft202012Validator)
            assert json.loads(result["content"][0]["text"]) == structured, name
            called.add(name)
            return structured

        project = f"py-{'modern' if MODERN else 'old'}-{ERA}"
        kind = {"project": project, "worker_type": "build"}
        await call("create_project", {"name": project, "path": DIRECTORY})
        await call("create_worker_type", {**kind, "system_prompt": "You build.", "auto_spawn": False})
        new = {"project": project, "title": "Table", "execution_plan": ["build"]}
        ticket = (await call("create_ticket", new))["ticket_id"]
        await call("add_ticket_comment", {"ticket_id": ticket, "content": "Four legs."})
        for name, arguments in [
            ("get_project", {"project": project}),
            ("list_projects", {}),
            ("update_project", {"project": project, "rules": "Never push."}),
            ("get_worker_type", kind),
            ("list_worker_types", {"project": project}),
            ("list_worker_templates", {"template": "planning"}),
            ("update_worker_type", {**kind, "max_workers": 2}),
            ("list_workers", {}),
            ("list_queues", {}),
            ("get_queue_status", kind),
            ("get_ticket", {"ticket_id": ticket}),
            ("list_tickets", {"project": project}),
            ("update_ticket", {"ticket_id": ticket, "priority": "high", "max_budget_usd": 2.5}),
            ("pause", {**kind, "reason": "The wood is wet."}),
            ("resume", kind),
            ("get_usage", {"group_by": "worker_type", "project": project}),
            ("list_notifiers", {}),
            ("test_notifier", {"notifier": "phone"}),
            ("resume_notifier", {"notifier": "phone"}),
        ]:
            await call(name, arguments)

        # A call that waits: it says so at once, and an event answers it.
        last = (await call("list_events", {"project": project}))["last_seq"]
        told = []
        waits = asyncio.Event()

        async def progress(at, total, message):
            told.append((at, total))
            waits.set()

        wait = {"project": project, "after": last, "wait_seconds": 600}
        waiting = asyncio.create_task(call("list_events", wait, progress_callback=progress))
        await asyncio.wait_for(waits.wait(), 60)
        blocked = {"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": "r", "question": "Colour?"}
        await call("complete_ticket_stage", blocked)
        events = (await asyncio.wait_for(waiting, 60))["events"]
        assert events[0]["ticket_id"] == ticket, events
        assert told[0][1] == 600, told
        await call("mark_events_processed", {"event_seqs": [events[0]["seq"]]})

        refused = wire(await client.call_tool("get_ticket", {"ticket_id": "T-999999"}))
        assert refused["isError"] and "list_tickets" in refused["content"][0]["text"], refused

        resources = wire(await client.list_resources())["resources"]
        uris = [resource["uri"] for resource in resources]
        for uri in ["events://", f"project://{project}", f"ticket://{ticket}"]:
            assert uri in uris, (uri, uris)
            contents = wire(await client.read_resource(uri))["contents"]
            assert isinstance(json.loads(contents[0]["text"]), dict), contents
        templates = wire(await client.list_resource_templates())["resourceTemplates"]
        assert len(templates) == 3, templates
        try:
            await client.read_resource("ticket://T-999999")
        except Exception as error:
            assert "T-999999" in str(error), error
        else:
            raise AssertionError("an absent ticket was read")

        prompts = [prompt["name"] for prompt in wire(await client.list_prompts())["prompts"]]
        assert prompts == ["plan", "unblock", "report"], prompts
        triage = wire(await client.get_prompt("unblock", {"project": project}))
        assert "Colour?" in triage["messages"][0]["content"]["text"], triage

        await call("list_inbox", {"project": project})
        await call("resume_ticket", {"ticket_id": ticket, "comment": "Red."})
        await call("stop", {"ticket_id": ticket})
        await call("delete_queue", kind)
        gates = [{"name": "test", "command": ["true"]}]
        await call("update_project", {"project": project, "gates": gates})
        await call("waive_gate", {"ticket_id": ticket, "gate": "test", "reason": "Not today."})
        await call("run_gates", {"ticket_id": ticket})
        await call("close_ticket", {"ticket_id": ticket})
        workers = (await call("spawn_worker", kind))["workers"]
        worker = {"worker_id": workers[0]["worker_id"]}
        await call("get_worker_status", worker)
        await call("stop_worker", {**worker, "mode": "kill"})
        await call("delete_worker_type", {**kind, "force": True})
        await call("delete_project", {"project": project, "force": True})
        assert called == schemas.keys(), f"never called: {schemas.keys() - called}"
        print(f"{project}: all {len(tools)} tools answered as their schemas say")


asyncio.run(asyncio.wait_for(story(), 300))
