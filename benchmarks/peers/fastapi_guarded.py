"""FastAPI with what a careful team puts before a handler: token, rate and body are checked. Nothing is stored."""

import os
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry
from pydantic import BaseModel

app = FastAPI()
keys = KeySet.import_key_set(__import__("json").loads(Path(os.environ["BENCH_JWKS_FILE"]).read_text()))
claims = JWTClaimsRegistry(
    iss={"essential": True, "value": "https://idp.example"}, aud={"essential": True, "value": "bench"}
)
bearer = HTTPBearer()
RATE, BURST = 10**9, 10**9
buckets: dict[str, tuple[float, float]] = defaultdict(lambda: (BURST, time.monotonic()))


class Order(BaseModel):
    id: str
    sku: str
    qty: int = 1


def limited(request: Request) -> None:
    """A token bucket for each address."""
    address, now = request.client.host, time.monotonic()
    tokens, at = buckets[address]
    tokens = min(BURST, tokens + (now - at) * RATE)
    if tokens < 1:
        raise HTTPException(429)
    buckets[address] = (tokens - 1, now)


def principal(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    """The subject of a token that is good for this."""
    token = jwt.decode(credentials.credentials, keys, algorithms=["ES256"])
    claims.validate(token.claims)
    if "orders:write" not in token.claims["scope"].split():
        raise HTTPException(403)
    return token.claims["sub"]


@app.post("/orders", dependencies=[Depends(limited), Depends(principal)])
async def create(order: Order) -> Order:
    return order
