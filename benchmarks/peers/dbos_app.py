"""DBOS on SQLite behind FastAPI: the idempotency key is the workflow's id, the order is stored by a durable step."""

import os
from contextlib import asynccontextmanager
from typing import Annotated

from dbos import DBOS, SetWorkflowID
from fastapi import FastAPI, Header
from pydantic import BaseModel

DBOS(
    config={
        "name": "orders",
        "system_database_url": f"sqlite:///{os.environ['BENCH_DIR']}/dbos.sqlite",
        "log_level": "ERROR",
        "run_admin_server": False,
    }
)


class Order(BaseModel):
    id: str
    sku: str
    qty: int = 1


@DBOS.step()
async def store(order: dict) -> dict:
    """A step's result is recorded: here that record is the stored order."""
    return order


@DBOS.workflow()
async def create_order(order: dict) -> dict:
    return await store(order)


@asynccontextmanager
async def lifespan(_: FastAPI):
    DBOS.launch()
    yield
    DBOS.destroy()


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def create(order: Order, idempotency_key: Annotated[str, Header()]) -> Order:
    with SetWorkflowID(idempotency_key):
        return Order(**await create_order(order.model_dump()))
