"""Payments in three regions of one process: money is spent once, preferences meet."""

import asyncio
from pathlib import Path

import msgspec

from proa.app import load_app
from support.inproc import system

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"
PAYMENTS = str(Path(__file__).parents[2] / "examples" / "payments")
TERMS = {"currency": "EUR", "limit": 10}


def run(folder, scenario):
    async def main():
        async with system(load_app(PAYMENTS), folder) as running:
            await running.request(EU, "PUT", "/accounts/ada", TERMS)
            await scenario(running)

    asyncio.run(main())


def body(answer):
    return msgspec.json.decode(answer.body)


def order(amount, currency="EUR"):
    return {"account": "ada", "amount": amount, "currency": currency}


def replayed(answer):
    return dict(answer.headers).get("idempotency-replayed") == "true"


def test_a_charge_is_there_with_what_it_took_in_every_region(tmp_path):
    async def scenario(s):
        taken = body(await s.request(EU, "POST", "/charges", order(3), key="k1"))
        for region in (EU, US, AP):
            assert body(await s.request(region, "GET", f"/charges/{taken['id']}")) == taken
            account = body(await s.request(region, "GET", "/accounts/ada"))
            assert (account["left"], account["charges"]) == (7, 1)

    run(tmp_path, scenario)


def test_of_two_regions_that_spend_the_last_unit_exactly_one_succeeds(tmp_path):
    async def scenario(s):
        await s.request(EU, "POST", "/charges", order(9), key="k1")
        both = await asyncio.gather(
            s.request(EU, "POST", "/charges", order(1), key="k2"), s.request(US, "POST", "/charges", order(1), key="k3")
        )
        assert sorted(answer.status for answer in both) == [200, 409]
        refused = next(body(answer) for answer in both if answer.status == 409)
        assert (refused["code"], refused["title"]) == ("PAYMENTS-LIMIT", "Limit exceeded")
        assert body(await s.request(AP, "GET", "/accounts/ada"))["left"] == 0

    run(tmp_path, scenario)


def test_one_key_used_in_three_regions_at_once_charges_once(tmp_path):
    async def scenario(s):
        answers = await asyncio.gather(
            *(s.request(region, "POST", "/charges", order(2), key="k1") for region in (EU, US, AP))
        )
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        assert sorted(map(replayed, answers)) == [False, True, True]
        assert body(await s.request(EU, "GET", "/accounts/ada"))["left"] == 8

    run(tmp_path, scenario)


def test_a_refusal_stands_when_its_key_is_repeated_elsewhere(tmp_path):
    async def scenario(s):
        first = await s.request(EU, "POST", "/charges", order(11), key="k1")
        again = await s.request(US, "POST", "/charges", order(11), key="k1")
        assert (first.status, again.status, replayed(again)) == (409, 409, True)

    run(tmp_path, scenario)


def test_another_payload_under_a_used_key_is_refused(tmp_path):
    async def scenario(s):
        await s.request(EU, "POST", "/charges", order(1), key="k1")
        assert (await s.request(US, "POST", "/charges", order(2), key="k1")).status == 422

    run(tmp_path, scenario)


def test_amounts_currencies_and_accounts_are_checked(tmp_path):
    async def scenario(s):
        keys = iter(("k1", "k2", "k3", "k4", "k5", None))

        async def status(asked):
            return (await s.request(EU, "POST", "/charges", asked, key=next(keys))).status

        assert await status(order(0)) == 422
        assert await status(order(1, "euro")) == 422
        assert await status(order(1) | {"amout": 1}) == 422
        assert await status(order(1, "USD")) == 409
        assert await status(order(1) | {"account": "nobody"}) == 404
        assert await status(order(1)) == 400

    run(tmp_path, scenario)


def test_an_account_is_opened_once_on_its_terms(tmp_path):
    async def scenario(s):
        await s.request(EU, "POST", "/charges", order(4), key="k1")
        assert body(await s.request(US, "PUT", "/accounts/ada", TERMS))["left"] == 6
        assert (await s.request(US, "PUT", "/accounts/ada", TERMS | {"limit": 99})).status == 409

    run(tmp_path, scenario)


def test_preferences_are_taken_without_the_global_store_and_the_last_one_stands(tmp_path):
    async def scenario(s):
        s.links.cut |= {(region, "witness") for region in (EU, US, AP)}
        await s.request(EU, "PUT", "/customers/ada/preferences", {"language": "en"})
        await s.settled()
        await s.request(AP, "PUT", "/customers/ada/preferences", {"language": "id", "receipts": False})
        await s.settled()
        for region in (EU, US, AP):
            chosen = body(await s.request(region, "GET", "/customers/ada/preferences"))
            assert chosen == {"customer": "ada", "language": "id", "receipts": False}
        assert (await s.request(EU, "POST", "/charges", order(1), key="k1")).status == 503

    run(tmp_path, scenario)
