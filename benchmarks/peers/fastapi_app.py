"""FastAPI's bare POST: validate, answer. Nothing is stored, nothing is idempotent."""

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Order(BaseModel):
    id: str
    sku: str
    qty: int = 1


@app.post("/orders")
async def create(order: Order) -> Order:
    return order
