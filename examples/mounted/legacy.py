"""An application of FastAPI as it might have been for years: nothing in this file knows of regions, keys or limits.

Its invoices were in a dictionary once; now it is given something else that has `get` and `put`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol
from uuid import uuid4

from fastapi import APIRouter, FastAPI, HTTPException, Request
from pydantic import BaseModel, Field


@dataclass
class Invoice:
    """An invoice, in cents."""

    id: str
    customer: str
    cents: int


class Invoices(Protocol):
    """Where invoices are kept."""

    async def get(self, id: str, default: None, /) -> Invoice | None: ...
    async def put(self, row: Invoice, /) -> None: ...


class NewInvoice(BaseModel):
    """What is billed to whom, in cents."""

    customer: Annotated[str, Field(min_length=1, max_length=80)]
    cents: Annotated[int, Field(gt=0, lt=10**12)]


router = APIRouter()


@router.post("/invoices", status_code=201)
async def bill(wanted: NewInvoice, request: Request) -> Invoice:
    """Write a new invoice each time it is called; there is no way for it to know that it was called before."""
    invoice = Invoice(uuid4().hex, wanted.customer, wanted.cents)
    await request.app.state.invoices.put(invoice)
    return invoice


@router.get("/invoices/{id}")
async def read(id: str, request: Request) -> Invoice:
    """An invoice that was written."""
    found = await request.app.state.invoices.get(id, None)
    if found is None:
        raise HTTPException(404, f"there is no invoice {id}")
    return found


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """For whoever watches it."""
    return {"status": "ok"}


def application(invoices: Invoices) -> FastAPI:
    """The application over a keeper of invoices."""
    made = FastAPI(title="Invoices")
    made.include_router(router)
    made.state.invoices = invoices
    return made
