"""The scripts: everything that the edge model claims to do as Envoy does it."""

from edge_trace import CLASSES, KINDS, Ask, Moment, Script, State, Turn

from proa.core.roles import Assignment

UP, GONE, DARK, PAUSED = State(), State("gone"), State("dark"), State("paused")
REFUSES = State(status=503, not_started=True)
LAST_S = 0.4
"""Between two requests that must not meet; longer than a hedge."""


def roles(epoch=1, topology="active-active", weights=None, **of):
    return Assignment(epoch, topology, of or {"eu": "active", "us": "standby"}, weights=weights or {})


def script(name, idea, moments, asks, **more):
    known = {"assignment": roles()} | more
    moments = tuple(Moment(at_s, region, state) for at_s, region, state in moments)
    return Script(name, idea, moments=moments, asks=tuple(asks), **known)


def each(at_s, kinds=CLASSES, apart_s=0.01):
    """One request of each kind, nearly at once."""
    return [Ask(round(at_s + n * apart_s, 3), kind) for n, kind in enumerate(kinds)]


def steady(count, kind="read", every_s=0.01, at_s=0.1):
    return [Ask(round(at_s + n * every_s, 4), kind) for n in range(count)]


def always(name, idea, eu, us=UP, kinds=CLASSES, **more):
    """Regions that behave alike all the time; one request of each kind, each alone."""
    return script(name, idea, [(0, "eu", eu), (0, "us", us)], each(0.1, kinds, apart_s=LAST_S), **more)


def slow(delay_s, **more):
    return State(delay_s=delay_s, **more)


ALL_ACTIVE = roles(eu="active", us="active", ap="active")
ONE_BEHIND = roles(eu="active", us="active", ap="standby")
PASSIVE = roles(topology="active-passive")

SCRIPTS = (
    always("well", "the active region gets all; nothing hidden passes", UP, kinds=tuple(KINDS)),
    script(
        "killed",
        "a dead region refuses: everything goes elsewhere at once, and returns after two good checks",
        [(1, "eu", GONE), (2.5, "eu", UP)],
        [*each(0.5), *each(1.05), *each(2.0), *each(3.3)],
    ),
    script(
        "killed in flight",
        "what was sent is lost: only what may be repeated is",
        [(0, "eu", slow(0.2)), (1.1, "eu", GONE)],
        each(1.0, kinds=tuple(KINDS)),
    ),
    script(
        "paused",
        "bytes are swallowed: a hedge answers what may be repeated, the rest waits for its time-out",
        [(1, "eu", PAUSED), (4.5, "eu", UP)],
        [*each(0.5), *each(1.1), *each(2.2), *each(5.3)],
    ),
    script(
        "paused for a moment",
        "what waited is answered late",
        [(1, "eu", PAUSED), (1.6, "eu", UP)],
        [*each(0.5), *each(1.1)],
    ),
    script(
        "dark, one connection open",
        "the first request is lost with the connection, the others cannot connect and go elsewhere",
        [(1, "eu", DARK)],
        [Ask(0.5, "regional"), Ask(1.05, "regional"), Ask(1.1, "regional"), Ask(1.15, "unkeyed"), Ask(1.2, "read")],
    ),
    script(
        "dark, connections idle for long",
        "nobody can connect, so everything goes elsewhere",
        [(4, "eu", DARK), (6.5, "eu", UP)],
        [*each(0.5), *each(4.05), *each(5.2), *each(7.4)],
    ),
    always("resets", "the connection closes instead of an answer", State("resets"), kinds=tuple(KINDS)),
    always("not started", "the region says that nothing happened", REFUSES, kinds=tuple(KINDS)),
    always("not started anywhere", "one other attempt, no more", REFUSES, REFUSES),
    always("shed", "a 503 alone is an answer", State(status=503)),
    always("bad gateway", "", State(status=502)),
    always("bad gateway everywhere", "", State(status=502), State(status=502)),
    always("gateway time-out", "", State(status=504)),
    always("defect", "a 500 is an answer", State(status=500)),
    always("too many", "a 429 is an answer", State(status=429)),
    always("slow", "the hedge is quicker", slow(0.38)),
    always("slow everywhere", "the first is quicker than its hedge", slow(0.35), slow(0.35)),
    script(
        "slower than the time-out",
        "504 when the route's time is over",
        [(0, "eu", slow(4.0)), (0, "us", slow(4.0))],
        each(0.1),
    ),
    always("hedge fails", "a bad answer to the hedge does not end the wait", slow(0.38), State(status=502)),
    always("hedge is reset", "a lost hedge does not end the wait", slow(0.38), State("resets")),
    always("hedge is refused", "nor does one that could not connect", slow(0.38), GONE, eager=False),
    script(
        "nobody else is well",
        "the other attempt goes to the same region",
        [(0, "eu", slow(0.38)), (0, "us", GONE), (2.8, "eu", REFUSES), (4.2, "eu", State("resets"))],
        [*each(1.0, apart_s=LAST_S), *each(3.0), *each(4.5)],
    ),
    always("first fails late", "a bad answer waits for the hedge", slow(0.3, status=502), slow(0.1)),
    always("first is lost late", "a lost first attempt waits for the hedge", slow(0.3, link="resets"), slow(0.1)),
    always("both fail, hedge last", "the last bad answer is passed on", slow(0.3, status=502), slow(0.1, status=504)),
    always("both fail, first last", "", slow(0.35, status=502), slow(0.02, status=504)),
    always("both fail, first lost last", "", slow(0.35, link="resets"), slow(0.02, status=504)),
    always("both fail, hedge lost last", "", slow(0.3, status=502), slow(0.1, link="resets")),
    script(
        "first is lost, hedge is slow",
        "the time-out counts from the request",
        [(0, "eu", slow(0.3, link="resets")), (0, "us", slow(4.0))],
        each(0.1),
    ),
    always("shed after the hedge", "a 503 ends the wait", slow(0.3, status=503), slow(0.2)),
    always("retry is slow", "the second attempt has no hedge", State("resets"), slow(0.35)),
    script("all gone", "", [(0.5, "eu", GONE), (0.5, "us", GONE)], [*each(0.55), *each(1.5)]),
    script(
        "sick",
        "a bad answer to a check counts at once; two good ones bring the region back",
        [(1, "eu", State(health=503)), (2, "eu", UP)],
        [*each(0.8), *each(1.4), *each(2.7)],
    ),
    script(
        "sick, active-passive",
        "writes stay: no other region may take them",
        [(1, "eu", State(health=503))],
        [*each(0.8), *each(1.4)],
        assignment=PASSIVE,
    ),
    script(
        "killed, active-passive",
        "the silence of the active region moves its writes too",
        [(1, "eu", GONE)],
        [*each(0.8), *each(1.05), *each(2.0)],
        assignment=PASSIVE,
    ),
    script(
        "all sick",
        "a check that fails everywhere condemns nobody",
        [(0.5, "eu", State(health=503)), (0.5, "us", State(health=503))],
        steady(200, at_s=1.0),
        drawn=True,
    ),
    script(
        "shifted",
        "a new plan moves what comes after it, and a swapped region is still known to be well",
        [(1.5, "us", REFUSES)],
        [*each(0.8), *each(1.2), *each(1.7), *each(2.4), *each(3.2)],
        turns=(
            Turn(1.0, roles(2, eu="standby", us="active")),
            Turn(2.0, roles(3, eu="down", us="active")),
            Turn(2.8, roles(4, eu="active", us="standby")),
        ),
    ),
    script(
        "five lost at once",
        "the region is ejected, for a second; its connections are bad, not its checks",
        [(0, "eu", slow(0.1, link="resets"))],
        [*each(0.5, ["read"] * 5, 0.001), *each(0.8), *each(2.2)],
        eager=False,
    ),
    script(
        "five lost in turn",
        "each new connection ends the streak",
        [(0, "eu", State("resets"))],
        [*steady(8, every_s=0.05), *each(0.8)],
        eager=False,
    ),
    script(
        "five cannot connect",
        "",
        [(0, "eu", DARK)],
        [*steady(5, every_s=0.3), *each(1.9), *each(3.3)],
        eager=False,
    ),
    script(
        "five time out",
        "",
        [(0.5, "eu", PAUSED)],
        [*each(0.6, ["read"] * 5, 0.001), *each(1.0), *each(2.4)],
        eager=False,
    ),
    script(
        "five time out for good",
        "a request whose time is over counts as well",
        [(0.5, "eu", PAUSED)],
        [*each(0.6, ["regional"] * 5, 0.001), *each(2.3)],
        eager=False,
    ),
    script(
        "refused, then dark",
        "a dead region has no open connections",
        [(1, "eu", GONE), (1.5, "eu", DARK)],
        [*each(0.5), *each(0.6, ["read"] * 4, 0.0), Ask(1.2, "regional"), Ask(1.6, "regional")],
        eager=False,
    ),
    script(
        "two of three lose five",
        "the second is one too many to be ejected",
        [(0, "eu", slow(0.04, link="resets")), (0, "us", slow(0.1, link="resets"))],
        [*each(0.3, ["regional"] * 60, 0.0), *steady(120, "regional", 0.005, at_s=0.6)],
        assignment=ALL_ACTIVE,
        eager=False,
        drawn=True,
    ),
    script(
        "both lose five",
        "one region always stays",
        [(0, "eu", slow(0.1, link="resets")), (0, "us", slow(0.1, link="resets"))],
        [*each(0.5, ["read"] * 6, 0.001), *each(0.9)],
        eager=False,
    ),
    script(
        "ejected and well",
        "the next good check takes an ejected region back",
        [(0, "eu", slow(0.1, link="resets")), (0.75, "eu", UP)],
        [*each(0.5, ["read"] * 5, 0.001), *each(1.2)],
    ),
    script("even", "all active regions alike", [], steady(400), assignment=ALL_ACTIVE, drawn=True),
    script(
        "one is busy",
        "the less busy of two",
        [(0, "eu", slow(0.06))],
        steady(400),
        assignment=ALL_ACTIVE,
        drawn=True,
    ),
    script(
        "weighed",
        "",
        [],
        steady(400),
        assignment=roles(weights={"eu": 10, "us": 60, "ap": 30}, eu="active", us="active", ap="active"),
        drawn=True,
    ),
    script(
        "weighed and busy",
        "",
        [(0, "us", slow(0.06))],
        steady(400),
        assignment=roles(weights={"eu": 20, "us": 60, "ap": 20}, eu="active", us="active", ap="active"),
        drawn=True,
    ),
    script(
        "one of three refuses",
        "the other attempt goes to another active region",
        [(0, "eu", REFUSES)],
        steady(400, "regional"),
        assignment=ALL_ACTIVE,
        drawn=True,
    ),
    script(
        "the heavy one refuses",
        "the other attempt draws by weight until it meets another region, however light that one is",
        [(0, "eu", REFUSES)],
        steady(200, "regional"),
        assignment=roles(weights={"eu": 98, "us": 2}, eu="active", us="active"),
        drawn=True,
    ),
    script(
        "the middling one refuses",
        "",
        [(0, "eu", REFUSES)],
        steady(200, "regional"),
        assignment=roles(weights={"eu": 80, "us": 20}, eu="active", us="active"),
        drawn=True,
    ),
    script(
        "both active refuse",
        "where the other attempt goes with a standby behind",
        [(0, "eu", REFUSES), (0, "us", REFUSES)],
        steady(200),
        assignment=ONE_BEHIND,
        drawn=True,
    ),
    script(
        "one of two refuses, a standby behind",
        "",
        [(0, "eu", REFUSES)],
        steady(200),
        assignment=ONE_BEHIND,
        drawn=True,
    ),
    script(
        "one of three dies",
        "",
        [(1, "eu", GONE), (2, "eu", UP)],
        steady(300, "keyed"),
        assignment=ALL_ACTIVE,
        drawn=True,
    ),
)
