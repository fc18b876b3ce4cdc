"""A shop that decides its checkout button. Run: EVENHAND_URL=… EVENHAND_KEY=… uvicorn fastapi_app:app"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request

from evenhand import AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The client begins with the application, and delivers what is queued at its end."""
    async with AsyncClient(os.environ["EVENHAND_URL"], os.environ["EVENHAND_KEY"]) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/checkout/{user_id}")
async def checkout(user_id: str, request: Request) -> dict[str, str | None]:
    """A decision is a plain call of a microsecond: nothing to await."""
    client: AsyncClient = request.app.state.client
    decision = client.decide("checkout", {"user_id": user_id, "country": request.headers.get("x-country")})
    return {"button": decision.value_or("plain"), "reason": decision.reason}


@app.post("/buy/{user_id}")
async def buy(user_id: str, amount: float, request: Request) -> dict[str, str | None]:
    """What happened afterwards: the results join it with the exposure."""
    client: AsyncClient = request.app.state.client
    return {"event_id": client.track("purchase", {"user_id": user_id}, value=amount)}
