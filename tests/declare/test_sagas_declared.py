"""What a saga knows of its steps' functions, found once for each."""

from dataclasses import dataclass
from functools import partial

from proa import App


@dataclass
class Seat:
    id: str


app = App("trips", regions=["eu", "us"])


@app.saga()
async def trip(saga, given: str) -> None: ...


async def held(id: str) -> Seat:
    return Seat(id)


@app.effect()
async def paid(id: str) -> Seat:
    return Seat(id)


def returning(kind):
    async def made(id: str) -> kind:
        return kind(id)

    return made


def written():
    async def step() -> Seat:
        return Seat("a")

    return step


def test_a_function_that_is_defined_anew_at_each_wake_is_looked_at_once():
    assert trip.codec_of(written()) is trip.codec_of(written())
    assert trip.route_of(written()) is trip.route_of(written())
    assert trip.codec_of(partial(held, "a")) is trip.codec_of(partial(held, "b"))


def test_results_are_kept_as_what_the_function_returns():
    for work in (held, paid, partial(held, "a"), written(), returning(Seat)):
        codec = trip.codec_of(work)
        assert codec.decode(codec.encode(Seat("a"))) == Seat("a"), work


def test_functions_of_one_code_that_return_different_types_are_not_taken_for_each_other():
    text, seat = trip.codec_of(returning(str)), trip.codec_of(returning(Seat))
    assert text.decode(text.encode("a")) == "a"
    assert seat.decode(seat.encode(Seat("a"))) == Seat("a")


def test_an_object_that_is_called_may_return_anything():
    class Held:
        async def __call__(self) -> Seat:
            return Seat("a")

    codec = trip.codec_of(Held())
    assert codec.decode(codec.encode({"id": "a"})) == {"id": "a"}
