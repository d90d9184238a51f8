"""What an app may declare, and what is refused when it is declared."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
import pytest
from pydantic import BaseModel

from proa import App, BadRequest, Context, Header, Objectives, Unprocessable, merge
from proa.app import load_app
from proa.declare.http import Request
from proa.errors import AppNotFound, DeclarationError


@dataclass
class Order:
    id: str
    qty: int = 1


class Note(msgspec.Struct):
    id: int
    text: str = ""


class Customer(BaseModel):
    id: str
    age: int


def app(**options):
    return App("shop", **({"regions": ["eu", "us"]} | options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": []}, "regions must be one or more"),
        ({"regions": ["eu", "eu"]}, "regions must be one or more different"),
        ({"regions": ["edge"]}, "other than `witness` and `edge`"),
        ({"topology": "ring"}, "topology is active-active or active-passive"),
        ({"active": "ap"}, "active region 'ap' is none of eu, us"),
        ({"lease_s": 0}, "lease_s must be positive"),
    ],
)
def test_an_app_that_cannot_work_is_refused(options, message):
    with pytest.raises(DeclarationError, match=message):
        app(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "bad name"}, "must be an identifier"),
        ({"key": "none"}, "key 'none' is no field of Order"),
        ({"mode": "weak"}, "mode 'weak' is none of"),
        ({"mode": "active"}, "needs topology active-passive"),
        ({"mode": "strong", "merge": merge.last_writer()}, "fits mode `any` only"),
    ],
)
def test_a_table_that_cannot_work_is_refused(arguments, message):
    arguments = {"name": "orders", "key": "id"} | arguments
    with pytest.raises(DeclarationError, match=message):
        app().table(arguments.pop("name"), Order, **arguments)


def test_the_topology_chooses_the_default_mode():
    assert app().table("orders", Order, key="id").mode == "any"
    assert app(topology="active-passive").table("orders", Order, key="id").mode == "active"


def test_names_and_routes_are_declared_once():
    shop = app()
    shop.table("orders", Order, key="id")
    with pytest.raises(DeclarationError, match="declared twice"):
        shop.table("orders", Order, key="id")
    shop.get("/x")(lambda: None)
    with pytest.raises(DeclarationError, match="GET /x is declared twice"):
        shop.get("/x")(lambda: None)


def no_parameter() -> None: ...
def bare(thing): ...
def two(a: Order, b: Note) -> None: ...
def body(order: Order) -> None: ...


@pytest.mark.parametrize(
    ("method", "path", "handler", "message"),
    [
        ("get", "x", no_parameter, "starts with /"),
        ("get", "/_proa/x", no_parameter, "Proa's own"),
        ("get", "/x/{id}", no_parameter, r"no parameter for \{id\}"),
        ("post", "/x", bare, "annotate it"),
        ("post", "/x", two, "a and b both want the body"),
        ("get", "/x", body, "a GET has no body"),
    ],
)
def test_a_handler_that_does_not_fit_its_route_is_refused(method, path, handler, message):
    with pytest.raises(DeclarationError, match=message):
        getattr(app(), method)(path)(handler)


@pytest.mark.parametrize("options", [{"rto_s": -1}, {"rpo_s": -0.5}, {"availability": 99.9}])
def test_objectives_check_themselves(options):
    with pytest.raises(DeclarationError, match=next(iter(options))):
        Objectives(**options)


def arguments(handler, method="POST", path="/x", **request):
    shop = app()
    getattr(shop, method.lower())(path)(handler)
    given = Request(method, path, request.get("query", ""), request.get("headers", {}), request.get("body", b""))
    return shop.routes[0].arguments(given, request.get("parameters", {}), "the unit")


def test_parameters_come_from_path_query_header_body_and_unit():
    def handler(
        id: int, order: Order, ctx: Context, trace: Annotated[str, Header("x-trace")], limit: int = 10
    ) -> None: ...

    found = arguments(
        handler,
        path="/x/{id}",
        parameters={"id": "7"},
        query="limit=3",
        headers={"x-trace": "t"},
        body=b'{"id": "a", "qty": 2}',
    )
    assert found == {"id": 7, "order": Order("a", 2), "ctx": "the unit", "trace": "t", "limit": 3}


def test_lists_and_defaults_in_the_query():
    def handler(tag: list[str], limit: int = 10) -> None: ...

    assert arguments(handler, "GET", query="tag=a&tag=b") == {"tag": ["a", "b"], "limit": 10}


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [(Order, b'{"id": "a"}', Order("a")), (Note, b'{"id": 1}', Note(1)), (Customer, b'{"id": "a", "age": 3}', None)],
)
def test_dataclasses_structs_and_pydantic_models_are_bodies(kind, body, expected):
    def handler(given) -> None: ...

    handler.__annotations__["given"] = kind
    assert arguments(handler, body=body)["given"] == (expected or Customer(id="a", age=3))


@pytest.mark.parametrize(
    ("kind", "body", "error", "message"),
    [
        (Order, b"", BadRequest, "not valid JSON"),
        (Order, b'{"id": "caf\xe9"}', BadRequest, "not valid JSON: 'utf-8' codec can't decode byte 0xe9"),
        (Note, b'{"id": "x"}', Unprocessable, r"Expected `int`, got `str` - at `\$.id`"),
        (Note, b'{"id": 1, "colour": 2}', Unprocessable, "unknown field `colour`; known are id, text"),
        (Customer, b'{"id": "a", "age": "old"}', Unprocessable, "age"),
    ],
)
def test_bodies_that_do_not_fit_say_where(kind, body, error, message):
    def handler(given) -> None: ...

    handler.__annotations__["given"] = kind
    with pytest.raises(error, match=message):
        arguments(handler, body=body)


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [("", BadRequest, "`limit` is missing"), ("limit=x", Unprocessable, "query parameter `limit`")],
)
def test_query_parameters_that_do_not_fit_say_which(query, error, message):
    def handler(limit: int) -> None: ...

    with pytest.raises(error, match=message):
        arguments(handler, "GET", query=query)


def classes():
    shop = app()
    orders = shop.table("orders", Order, key="id")
    stock = shop.table("stock", Note, key="id", mode="strong")

    async def helper(note: Note) -> None:
        await stock.put(note)

    @shop.post("/local")
    async def local(order: Order) -> None:
        await orders.put(order)

    @shop.post("/strong")
    async def strong(note: Note) -> None:
        await stock.put(note)

    @shop.post("/through-a-helper")
    async def through(note: Note) -> None:
        await helper(note)

    @shop.post("/reads-strong")
    async def reads(order: Order) -> None:
        await stock.get(1, None)
        await orders.put(order)

    @shop.post("/declared", unit="global")
    async def declared() -> None: ...

    @shop.get("/read")
    async def read() -> None: ...

    return {route.path: route.unit for route in shop.routes}


def test_a_routes_class_follows_from_what_its_code_writes():
    assert classes() == {
        "/local": "regional",
        "/strong": "global",
        "/through-a-helper": "global",
        "/reads-strong": "regional",
        "/declared": "global",
        "/read": "read",
    }


def test_an_app_is_found_in_a_folder_a_file_or_a_module(tmp_path):
    (tmp_path / "app.py").write_text('from proa import App\nshop = App("found", regions=["eu"])\n')
    assert load_app(str(tmp_path)).name == "found"
    assert load_app(str(tmp_path / "app.py")).name == "found"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "no such file"),
        ("x = 1", "expected one App, found 0"),
        ('from proa import App\na = App("a", regions=["eu"])\nb = App("b", regions=["eu"])', "found 2; name it `app`"),
    ],
)
def test_an_app_that_is_not_there_is_a_clear_error(tmp_path, source, message):
    if source is not None:
        (tmp_path / "app.py").write_text(source)
    with pytest.raises(AppNotFound, match=message):
        load_app(str(tmp_path))
    with pytest.raises(AppNotFound, match="no such folder, file or module"):
        load_app("no_such_module_anywhere:app")
