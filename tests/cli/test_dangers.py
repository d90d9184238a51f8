"""Each rule of `proa check` finds what it is about, says where, and leaves alone what only looks like it."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from urllib import request as urls

import msgspec
import pytest

from proa import ApiKeys, App, Breaker, Context, Duplicate, Hedge, Objectives, Page, Retry, add, assign, merge
from proa.cli.dangers import RULES, dangers

EU, US, AP = "eu-west-1", "us-east-1", "ap-southeast-1"
PEERS = {EU: "https://shop.eu-west-1.example.com/rows", US: "https://shop.us-east-1.example.com/rows"}


@dataclass
class Row:
    id: str
    left: int = 0
    until: float | None = None
    best: int = 0
    votes: merge.Counter = field(default_factory=merge.Counter)


@dataclass
class Plain:
    id: str
    left: int = 0
    until: float | None = None


def found(app, rtt_ms=0.0):
    return [(danger.code, danger.what) for danger in dangers(app, rtt_ms)]


def shop(**options):
    return App("shop", regions=[EU, US], **options)


def a_sum_by_attribute(app, table):
    @app.post("/take", idempotent=True)
    async def take(id: str) -> None:
        row = await table.get(id)
        row.left -= 1
        await table.put(row)


def a_sum_by_a_new_row(app, table):
    @app.post("/take", idempotent=True)
    async def take(id: str) -> None:
        old = await table.get(id)
        await table.replace(Plain(id, old.left - 1))


def a_sum_by_a_copy(app, table):
    @app.post("/take", idempotent=True)
    async def take(id: str) -> None:
        old = await table.get(id)
        await table.put(replace(old, left=old.left + 1))


def a_sum_in_a_function_of_its_own(app, table):
    def taken(row):
        row.left = row.left - 1
        return row

    @app.post("/take", idempotent=True)
    async def take(id: str) -> None:
        await table.put(taken(await table.get(id)))


@pytest.mark.parametrize(
    "declare", [a_sum_by_attribute, a_sum_by_a_new_row, a_sum_by_a_copy, a_sum_in_a_function_of_its_own]
)
def test_a_sum_that_one_writer_wins_is_seen_in_every_way_of_writing_it(declare):
    app = shop()
    declare(app, app.table("rows", Plain, key="id"))
    said = "POST /take changes the number rows.left (reads it and writes the sum), which one writer wins"
    assert found(app) == [("PROA-K005", said)]


def test_an_add_is_such_a_sum_too():
    app = shop()
    rows = app.table("rows", Plain, key="id", merge=merge.last_writer())

    @app.post("/take", idempotent=True)
    async def take(id: str) -> None:
        await rows.update(id, add(left=-1), assign(until=None))

    said = "POST /take changes the number rows.left (add(left=...)), which one writer wins"
    assert found(app) == [("PROA-K005", said)]


def test_fields_without_a_rule_of_their_own_are_one_writer_s_as_well():
    app = shop()
    rows = app.table("rows", Row, key="id", merge=merge.fields(best=max))

    @app.post("/take", idempotent=True)
    async def take(id: str) -> None:
        row = await rows.get(id)
        row.votes.add()
        row.best += 1
        row.left += 1
        await rows.put(row)

    said = "POST /take changes the number rows.left (reads it and writes the sum), which one writer wins"
    assert found(app) == [("PROA-K005", said)]


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "strong"},
        {"merge": merge.function(lambda one, other: max(one, other, key=lambda row: (row.left, row.id)))},
    ],
)
def test_a_sum_is_nobody_s_business_where_one_store_decides_or_the_author_s_function(options):
    app = shop()
    a_sum_by_attribute(app, app.table("rows", Plain, key="id", **options))
    assert "PROA-K005" not in dict(found(app))


def test_a_sum_is_safe_in_one_region():
    app = App("shop", regions=[EU])
    a_sum_by_attribute(app, app.table("rows", Plain, key="id"))
    assert found(app) == []


def test_a_number_that_is_only_read_is_no_sum():
    app = shop()
    rows = app.table("rows", Plain, key="id")

    @app.post("/touch", idempotent=True)
    async def touch(id: str) -> int:
        row = await rows.get(id)
        row.until = None
        await rows.put(row)
        return row.left + 1

    assert found(app) == []


@pytest.mark.parametrize(
    ("route", "options", "said"),
    [
        ("post", {}, "POST /rows writes rows and heeds no Idempotency-Key"),
        (
            "patch",
            {"idempotent": "optional"},
            "PATCH /rows writes rows and heeds an Idempotency-Key only where one is sent",
        ),
        ("put", {"idempotent": False}, "PUT /rows writes rows and heeds no Idempotency-Key"),
    ],
)
def test_a_write_that_may_run_twice_is_told(route, options, said):
    app = shop()
    rows = app.table("rows", Plain, key="id")

    @getattr(app, route)("/rows", **options)
    async def write(row: Plain) -> None:
        await rows.put(row)

    assert found(app) == [("PROA-K007", said)]


def test_put_and_delete_may_leave_the_key_to_the_client_and_a_post_that_writes_nothing_needs_none():
    app = shop()
    rows = app.table("rows", Plain, key="id")

    @app.put("/rows")
    async def write(row: Plain) -> None:
        await rows.put(row)

    @app.delete("/rows/{id}")
    async def remove(id: str) -> None:
        await rows.delete(id)

    @app.post("/look")
    async def look(id: str) -> Plain:
        return await rows.get(id)

    assert found(app) == []


def test_a_call_to_a_region_of_the_app_is_seen_by_the_names_in_the_handler():
    app = shop()

    @app.get("/direct")
    def direct(id: str) -> str:
        return urls.urlopen("https://us-east-1.example.com/rows/" + id).read().decode()

    @app.get("/table")
    def by_table(region: str) -> str:
        return urls.urlopen(PEERS[region]).read().decode()

    @app.get("/all")
    def by_names() -> list[int]:
        return [urls.urlopen(f"https://{region}.example.com/").status for region in app.regions]

    @app.get("/edge")
    def by_edge() -> int:
        return urls.urlopen("http://localhost:8700/direct?id=1").status

    @app.get("/late")
    def imported_late() -> int:
        from urllib.request import urlopen

        return urlopen("https://shop.example.com/direct").status

    seems = "it seems to call a region of its own app, or the edge"
    assert [what for code, what in found(app) if code == "PROA-K006"] == [
        f"GET /direct names urllib.request and 'https://us-east-1.example.com/rows/': {seems}",
        f"GET /table names urllib.request and '{PEERS[EU]}': {seems}",
        f"GET /all names urllib.request and shop's list of regions: {seems}",
        f"GET /edge names urllib.request and 'http://localhost:8700/direct?id=1': {seems}",
        f"GET /late names urllib.request and 'https://shop.example.com/direct': {seems}",
    ]


def test_a_call_to_somebody_else_is_no_call_to_a_region():
    app = shop()

    @app.get("/rates")
    def rates() -> str:
        return urls.urlopen("https://rates.example.com/eu-west-10/rates").read().decode()

    @app.get("/name")
    def name() -> str:
        return f"https://{US}.example.com/"

    assert found(app) == []


class Dated(msgspec.Struct):
    id: str
    at: float


def test_a_walk_over_all_pages_is_seen_and_one_page_is_not():
    app = shop()
    dated = app.table("dated", Dated, key="id", sort="at")

    @app.get("/all")
    async def everything(id: str) -> list[Dated]:
        page = await dated.query(id)
        rows = page.rows
        while page.next:
            page = await dated.query(id, start=page.next)
            rows += page.rows
        return rows

    @app.get("/page")
    async def one_page(id: str, start: str | None = None) -> Page[Dated]:
        for _ in count():
            break
        return await dated.query(id, start=start)

    assert found(app) == [("PROA-K009", "GET /all asks for page after page of a query in a loop")]


def test_strong_rows_that_expire_are_told_and_others_are_not():
    app = shop()
    app.table("holds", Plain, key="id", mode="strong", expires="until")
    app.table("notes", Plain, key="id", expires="until")
    assert found(app) == [("PROA-K010", "strong table holds expires by 'until'")]


def test_a_deadline_below_the_round_trip_is_refused_where_the_distance_is_given():
    app = shop()
    stock = app.table("stock", Plain, key="id", mode="strong")

    @app.post("/take", idempotent=True, timeout_s=0.1)
    async def take(id: str) -> None:
        await stock.update(id, add(left=-1))

    @app.put("/stock/{id}", timeout_s=0.1)
    async def fill(id: str, row: Plain) -> None:
        await stock.put(row)

    said = "POST /take has timeout_s=0.1, but what it waits for elsewhere takes 160 ms at a round trip of 80 ms"
    assert (found(app), found(app, rtt_ms=80)) == ([], [("PROA-K008", said)])


def test_the_system_s_own_combinations_are_told():
    app = App(
        "shop",
        regions=[EU, US],
        topology="active-passive",
        failover="automatic",
        lease_s=9,
        objectives=Objectives(rto_s=9, rpo_s=0),
    )
    rows = app.table("rows", Plain, key="id")
    strong = app.table("strong", Plain, key="id", mode="strong")

    @app.put("/rows/{id}")
    async def write(id: str, row: Plain) -> None:
        await rows.put(row)

    @app.put("/both/{id}")
    async def both(id: str, row: Plain) -> None:
        await rows.put(row)
        await strong.put(row)

    assert found(app) == [
        ("PROA-K001", "automatic fail-over between two regions without a witness"),
        ("PROA-K002", "lease_s=9 is not below rto_s=9; about 3 would be"),
        ("PROA-K003", "PUT /rows/{id} promises rpo_s=0, but rows replicate after the answer"),
        ("PROA-K003", "PUT /both/{id} promises rpo_s=0, but rows replicate after the answer"),
        ("PROA-K004", "PUT /both/{id} writes strong tables and active ones"),
    ]


@pytest.mark.parametrize(
    ("west", "east", "said"),
    [
        ([EU, US], [EU, US, AP], []),
        ([EU, US], [EU, AP], [f"no other region may hold all that {EU} may, so no journal is ever compacted"]),
    ],
)
def test_sets_of_residency_that_overlap_keep_journals_for_ever(west, east, said):
    app = App("shop", regions=[EU, US, AP])
    app.table("west", Plain, key="id", residency=west)
    app.table("east", Plain, key="id", residency=east)
    assert [what for code, what in found(app) if code == "PROA-K016"] == said


def test_queues_and_events_count_among_the_sets_that_overlap():
    app = App("shop", regions=[EU, US, AP])
    app.queue("west", Plain, residency=[EU, US])
    app.event("east", Plain, residency=[EU, AP])
    said = f"no other region may hold all that {EU} may, so no journal is ever compacted"
    assert [what for code, what in found(app) if code == "PROA-K016"] == [said]


def test_a_handler_of_duplicates_belongs_to_a_regional_route_and_writes_regional_rows():
    app = shop()
    stock = app.table("stock", Plain, key="id", mode="strong")
    notes = app.table("notes", Plain, key="id")

    async def refill(duplicate: Duplicate, _: Context) -> None:
        await stock.put(Plain(duplicate.key))

    @app.post("/take", idempotent=True, on_duplicate=refill)
    async def take(id: str) -> None:
        await stock.put(Plain(id))

    @app.post("/note", idempotent=True, on_duplicate=refill)
    async def note(id: str) -> None:
        await notes.put(Plain(id))

    assert found(app) == [
        ("PROA-K013", "POST /take has on_duplicate, but its units are global: no key is ever used twice"),
        ("PROA-K014", "on_duplicate of POST /take writes strong tables: stock"),
        ("PROA-K014", "on_duplicate of POST /note writes strong tables: stock"),
    ]


def test_no_loss_is_kept_by_waiting_for_a_second_region_which_residency_must_allow():
    app = shop(objectives=Objectives(rpo_s=0), acknowledge="peer")
    notes = app.table("notes", Plain, key="id")
    papers = app.table("papers", Plain, key="id", residency=[EU])

    @app.post("/note", idempotent=True, timeout_s=0.05)
    async def note(row: Plain) -> None:
        await notes.put(row)

    @app.post("/paper", idempotent=True)
    async def paper(row: Plain) -> None:
        await papers.put(row)

    alone = "POST /paper waits for a second region, but rows of papers may be held in one alone"
    late = "POST /note has timeout_s=0.05, but what it waits for elsewhere takes 60 ms at a round trip of 60 ms"
    kept = f"no other region may hold all that {EU} may, so no journal is ever compacted"
    assert found(app, rtt_ms=60) == [("PROA-K008", late), ("PROA-K015", alone), ("PROA-K016", kept)]


class Opaque(msgspec.Struct):
    id: str
    raw: bytes


def test_a_merge_that_breaks_a_law_is_refused_and_one_that_could_not_be_tried_is_told():
    app = shop()
    app.table("rows", Plain, key="id", merge=merge.function(lambda one, _: one))
    app.table("opaque", Opaque, key="id", merge=merge.fields(raw=max))
    broken, untried = found(app)
    assert broken[0] == "PROA-K011"
    assert broken[1].startswith("table rows: its merge breaks a law: commutative")
    assert untried == ("PROA-K012", "table opaque: no rows could be made up to try its merge on")


class When(msgspec.Struct):
    id: str
    at: datetime
    small: int = 0


def test_times_are_made_up_for_a_merge():
    app = shop()
    app.table("later", When, key="id", merge=merge.fields(at=max, small=max))
    assert found(app) == []


def test_calls_that_may_have_their_effect_twice_are_found():
    app = shop()
    bank = app.dependency("bank", retry=Retry(attempts=3), timeout_s=1)

    @bank.call(hedge=Hedge())
    async def charge() -> None: ...

    @bank.call(idempotent=True, hedge=Hedge())
    async def balance() -> None: ...

    assert found(app) == [
        ("PROA-K018", "bank.charge is made up to 3 times, and not said to be idempotent"),
        ("PROA-K019", "bank.charge is hedged, and not said to be idempotent"),
    ]


def test_calls_that_nothing_ends_are_found():
    app = shop()

    @app.dependency("post", breaker=Breaker()).call
    async def send() -> None: ...

    app.dependency("unused")
    assert found(app) == [("PROA-K020", "post has no timeout_s: its calls last until the unit's deadline")]


def test_every_rule_has_a_code_of_its_own_in_order():
    assert [rule.code for rule in RULES] == [f"PROA-K{number:03}" for number in range(1, len(RULES) + 1)]


def test_a_write_that_anybody_may_make_is_told_where_the_app_authenticates():
    def declared(*, authenticates):
        app = shop()
        rows = app.table("rows", Plain, key="id", mode="strong")
        if authenticates:
            app.authenticate(ApiKeys())

        @app.post("/open", idempotent=True, auth=None)
        async def open_to_all(row: Plain) -> None:
            await rows.put(row)

        @app.post("/closed", idempotent=True)
        async def closed(row: Plain) -> None:
            await rows.put(row)

        @app.get("/read", auth=None)
        async def read(id: str) -> Plain:
            return await rows.get(id)

        return found(app)

    assert declared(authenticates=True) == [("PROA-K017", "POST /open writes rows for anybody")]
    assert declared(authenticates=False) == []
