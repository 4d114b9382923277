"""fastapi_app.py - FastAPI by uvicorn, which takes the client's address and the scheme from sluice's headers
(--proxy-headers, --forwarded-allow-ips)."""

import asyncio
import hashlib
import os

from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.websockets import WebSocketDisconnect

application = FastAPI()


@application.middleware("http")
async def name(request, call_next):
    response = await call_next(request)
    response.headers["X-Instance"] = os.environ.get("APP_NAME", "")
    return response


@application.post("/upload", response_class=PlainTextResponse)
async def upload(request: Request):
    n, digest = 0, hashlib.md5()
    async for data in request.stream():
        n += len(data)
        digest.update(data)
    return "bytes=%d\nmd5=%s\n" % (n, digest.hexdigest())


@application.get("/big")
async def big(n: int):
    return StreamingResponse(bytes([97 + i % 26]) * 65536 for i in range(n))


@application.get("/events")
async def events(gate: str):
    async def produce():
        for i in (1, 2, 3):
            yield "id: %d\ndata: event %d\n\n" % (i, i)
            while i < 3 and not os.path.exists("%s.%d" % (gate, i)):
                await asyncio.sleep(0.01)
    return StreamingResponse(produce(), media_type="text/event-stream")


@application.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await socket.send_bytes(await socket.receive_bytes())
    except WebSocketDisconnect:
        pass


@application.get("/{path:path}", response_class=PlainTextResponse)
async def who(request: Request, path: str):
    return "client=%s\nscheme=%s\nhost=%s\n" % (request.client.host if request.client else "-", request.url.scheme, request.headers["host"])
