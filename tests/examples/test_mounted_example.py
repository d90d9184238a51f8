"""The mounted application of FastAPI: its handlers are untouched, and its requests have keys, regions and limits."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from proa.app import load_app
from support.front import ask
from support.inproc import system

EU, US = "eu-west-1", "us-east-1"
MOUNTED = str(Path(__file__).parents[2] / "examples" / "mounted")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def run(tmp_path, scenario):
    async def main():
        async with system(load_app(MOUNTED), tmp_path) as running:

            async def asked(region, *request, **headers):
                return await ask(running[region].gateway, *request, **headers)

            return await scenario(running, asked)

    return asyncio.run(main())


BILL = {"customer": "ada", "cents": 1200}


def test_an_invoice_is_written_once_for_a_key_and_is_there_in_the_other_region(tmp_path):
    async def scenario(running, asked):
        json = {"content_type": "application/json", "idempotency_key": "k1"}
        first = await asked(EU, "POST", "/legacy/invoices", BILL, **json)
        again = await asked(EU, "POST", "/legacy/invoices", BILL, **json)
        await running.settled()
        elsewhere = await asked(US, "POST", "/legacy/invoices", BILL, **json)
        read = await asked(US, "GET", f"/legacy/invoices/{first.json['id']}")
        listed = await asked(US, "GET", "/customers/ada/invoices")
        return first, again, elsewhere, read, listed

    first, again, elsewhere, read, listed = run(tmp_path, scenario)
    assert first.status == 201
    assert again.body == elsewhere.body == read.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    assert listed.json == [first.json]


def test_what_fastapi_refuses_is_its_own_answer_under_proa_s_headers(tmp_path):
    async def scenario(_, asked):
        wrong = await asked(EU, "POST", "/legacy/invoices", {"cents": -1}, content_type="application/json")
        missing = await asked(EU, "GET", "/legacy/invoices/none")
        return wrong, missing

    wrong, missing = run(tmp_path, scenario)
    assert (wrong.status, missing.status, missing.json) == (422, 404, {"detail": "there is no invoice none"})
    assert (wrong.headers["proa-region"], "ratelimit" in wrong.headers) == (EU, True)


def test_its_own_documents_and_the_app_s_are_both_served(tmp_path):
    async def scenario(_, asked):
        return [await asked(EU, "GET", path) for path in ("/legacy/openapi.json", "/docs/openapi.json", "/docs")]

    legacy, own, page = run(tmp_path, scenario)
    assert "/invoices" in legacy.json["paths"]
    assert list(own.json["paths"]) == ["/customers/{customer}/invoices"]
    assert (page.status, b"<script" in page.body, b"http://" in page.body) == (200, False, False)


def test_the_page_and_the_command_tell_the_same(tmp_path):
    async def scenario(_, asked):
        return await asked(EU, "GET", "/docs/openapi.json")

    from proa.declare.openapi import document

    assert run(tmp_path, scenario).json == msgspec.json.decode(msgspec.json.encode(document(load_app(MOUNTED))))
