"""The server of your application, with FastAPI. It forwards a page's start request and adds the secrets."""

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response, StreamingResponse

BOT_URL = os.environ.get("BOT_URL", "http://127.0.0.1:7860")
PAGE_ORIGIN = os.environ.get("PAGE_ORIGIN", "http://localhost:3000")
HEADERS = {"x-rtvi-operator-secret": os.environ["RTVI_OPERATOR_SECRET"]}

# Only the operator may send these fields.
OPERATOR_FIELDS = {
    "api_keys": {"openai": os.environ["OPENAI_API_KEY"], "together": os.environ["TOGETHER_API_KEY"]},
    "service_options": json.loads(os.environ.get("SERVICE_OPTIONS", "{}")),
}

# A page may send only these fields. The bot trusts all other fields of a request with the secret: never forward them.
PAGE_FIELDS = {"services", "config", "actions", "rtvi_client_version"}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Share one HTTP client between all requests."""
    async with httpx2.AsyncClient(base_url=BOT_URL, headers=HEADERS, timeout=60) as app.state.bot:
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(CORSMiddleware, allow_origins=[PAGE_ORIGIN], allow_methods=["POST"], allow_headers=["*"])


@app.post("/connect")
@app.post("/start")
@app.post("/action")
async def start(request: Request, body: dict[str, Any] | None = None) -> Response:
    """Check the user here, for example with a dependency that reads a session cookie."""
    sent = body or {}
    if refused := next((name for name in sent if name not in PAGE_FIELDS), None):
        return error(403, f"A page may not send {refused}.")
    bot: httpx2.AsyncClient = request.app.state.bot
    forwarded = bot.build_request("POST", request.url.path, json={**sent, **OPERATOR_FIELDS})
    try:
        answer = await bot.send(forwarded, stream=True)
    except httpx2.TransportError:
        return error(502, "The bot cannot be started.")
    # Forward errors too: their body names the field to correct. The answer of /action comes in pieces.
    return StreamingResponse(pieces(answer), answer.status_code, media_type=answer.headers["content-type"])


async def pieces(answer: httpx2.Response) -> AsyncGenerator[bytes]:
    """Yield the body as it comes."""
    try:
        async for piece in answer.aiter_bytes():
            yield piece
    finally:
        await answer.aclose()  # also when the page has disconnected


def error(status: int, info: str) -> Response:
    """Return an error in the form that RTVI clients read."""
    return JSONResponse({"error": "refused", "info": info}, status)
