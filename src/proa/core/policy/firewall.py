"""Firewall: rules that say which requests are not even looked at.

A rule matches where all conditions that it names hold; it blocks, or only counts, so that it can be tried on real
traffic first. Patterns look for what attacks have in common that ordinary text has not; they are a second line behind
typed validation and bound parameters, and made to leave ordinary traffic alone rather than to find every variant. Each
is matched against the text after its escapes are taken off too, layer by layer, for attackers escape twice.

Rules that need the body are judged when it is there, all others before it is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import unescape
from typing import Literal, Protocol
from urllib.parse import unquote_plus

import msgspec

from proa.core.policy.address import networks, within
from proa.errors import DeclarationError

Action = Literal["block", "count"]
Place = Literal["path", "query", "headers", "body"]
PLACES: tuple[Place, ...] = ("path", "query", "headers", "body")
LAYERS = 3
LOOKED_AT = ("user-agent", "referer", "cookie", "x-forwarded-for", "x-api-version", "accept-language")
"""The headers that patterns look at: those that programs behind are known to log or to evaluate."""

SETS: Mapping[str, str] = {
    # A quote or bracket that closes, then a statement's word; comments and functions that only attacks need.
    "sql": r"""
        ['"`)]\s*+(?:\bor\b|\band\b|\|\||&&)\s*+(?:not\s++)?['"`(]?\s*+[\w.'"]+\s*+['"`)]?\s*+(?:=|<|>|\blike\b|\bis\b|\bin\b
            |\bbetween\b)
        |\b\d+\s*+(?:\bor\b|\band\b|\|\||&&)\s*+\(?\s*+(?:\d+\s*+(?:=|<|>|\blike\b|\bin\b|\bbetween\b)|select\b)
        |['"`)]\s*+;\s*+(?:drop|alter|create|truncate|insert|update|delete|select|exec|declare|shutdown|waitfor)\b
        |;\s*+(?:drop|truncate|alter)\s++(?:table|database|schema|user)\b
        |\bunion\b(?:\s|/\*[^*]*+\*/|\()++(?:(?:all|distinct)\b(?:\s|/\*[^*]*+\*/|\()++)?+select\b
        |\bselect\b[^;]{0,80}?\bfrom\b\s*+(?:information_schema|pg_catalog|pg_user|mysql\.|sys\.|sqlite_master|dual\b)
        |\b(?:sleep\s*+\(\s*+\d+(?:\.\d+)?\s*+\)|benchmark\s*+\(\s*+\d+\s*+,)
        |\b(?:pg_sleep|extractvalue|updatexml|load_file|xp_cmdshell|dbms_pipe\.receive_message)\s*+\(
        |\bwaitfor\s++delay\b
        |\binto\s++(?:out|dump)file\b
        |(?:['`]|[\w)]")\s*+(?:--|\#|/\*)(?:$|[-\s"])
        |['"`)]\s*+order\s++by\s++\d+
        |['"`]\s*+(?:\|\||\+)\s*+(?:\(|char|chr|concat|version|user)
    """,
    "script": r"""
        <\s*+(?:/\s*+)?(?:script|iframe|object|embed|applet|meta|base|form|svg|math|frameset|link|style)\b[^<]*
            (?:>|\bon\w+\s*+=|\bsrc\b|\bhref\b)
        |<[a-z][^<>]{0,200}?[\s/"']on(?:error|load|click|mouse\w+|focus|blur|key\w+|toggle|animation\w+|begin|start
            |pointer\w+|submit|change|input|wheel|copy|paste|cut|drag\w*|drop|show|resize|scroll|hashchange
            |beforeprint|pageshow)\s*+=
        |(?:^|[\s"'=(,:])(?:javascript|vbscript)\s*+:\s*+\S{0,200}?[(`=\[]
        |data\s*+:\s*+text/html
        |\b(?:document\s*+\.\s*+(?:cookie|write|domain|location)|window\s*+\.\s*+(?:location|name)\s*+=)
        |\b(?:eval|alert|prompt|confirm|settimeout|setinterval|string\.fromcharcode)\s*+[(`]\s*+[\w'"`.(/\\]
        |\{\{\s*+(?:constructor|[\w.]*__|\d+\s*+\*\s*+\d+)
    """,
    "traversal": r"""
        (?:^|[\\/=:])\.\.(?:[\\/]|$)
        |\.\.(?:;|%00|\x00)[\\/]
        |(?:^|[=:/\\])(?:etc/(?:passwd|shadow|hosts|group)|proc/self/|windows[\\/]win\.ini|boot\.ini)
        |\b(?:file|php|phar|zip|expect|gopher|dict|ldap)://
        |(?:^|/)\.(?:git|svn|hg|env|aws|ssh|htaccess|htpasswd)(?:/|$|\b)
        |\x00
    """,
    "command": r"""
        (?:;|\||&|`|\$\()\s*+(?:/(?:usr/)?s?bin/)?
            (?:cat|ls|id|whoami|uname|wget|curl|ncat|nc|bash|sh|zsh|python\d?|perl|ruby|php|ping|nslookup|dig|rm|chmod
            |chown|kill|sleep|powershell|cmd(?:\.exe)?|certutil)
            (?:\s*+(?:$|[-;|&`)<>/$"])|\s++[-"'/$]|\s++\d+|\s++[\w:/-]*[/.]\w)
        |\$\{(?:(?:jndi|env|sys|lower|upper|ctx|java):|::-|\$\{)
        |\$\(\s*+[a-z_/][^)]{0,200}\)
        |\b(?:cmd(?:\.exe)?\s*+/c|powershell(?:\.exe)?\s++-)
        |\(\)\s*+\{\s*+(?::\s*+)?;\s*+\}\s*+;
        |(?:__import__|os\.(?:system|popen)|subprocess\.\w+|runtime\.getruntime)\s*+\(
        |__(?:class|mro|subclasses|globals|builtins|proto)__
    """,
    "scanner": r"""
        \b(?:sqlmap|nikto|nessus|nmap|masscan|acunetix|dirbuster|gobuster|wpscan|zgrab|nuclei|openvas|w3af|havij|ffuf
            |feroxbuster|netsparker|arachni|whatweb|joomscan)\b
    """,
}
"""Sets of patterns by name. `scanner` looks for the names that tools give of themselves."""
_JSON_ESCAPE = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|(["\\/nrt]))""")
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


class Seen(Protocol):
    """What a rule may look at. `client` is the client's address, `country` what the edge says of it."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. Every condition that is given has to hold; a name that starts with `not_` is its opposite.

    Args:
        name: what answers, logs and metrics call it.
        action: `block`: 403; `count`: the request goes on and is counted.
        under: paths that start with one of these.
        addresses: of the client, each an address or a CIDR block.
        countries: two letters each, as the edge says.
        methods: such as `TRACE`.
        content_types: media types without parameters; `application/*` is any of these.
        head_over_bytes: the names and values of all headers, the path and the query are longer together.
        body_over_bytes: the body is larger.
        depth_over: objects and arrays of the JSON body lie deeper in each other.
        patterns: names of `SETS`, or regular expressions of your own (matched regardless of case).
        places: where patterns are looked for.
    """

    name: str
    action: Action = "block"
    under: Sequence[str] = ()
    addresses: Sequence[str] = ()
    not_addresses: Sequence[str] = ()
    countries: Sequence[str] = ()
    not_countries: Sequence[str] = ()
    methods: Sequence[str] = ()
    not_methods: Sequence[str] = ()
    content_types: Sequence[str] = ()
    not_content_types: Sequence[str] = ()
    head_over_bytes: int | None = None
    body_over_bytes: int | None = None
    depth_over: int | None = None
    patterns: Sequence[str] = ()
    places: Sequence[Place] = PLACES

    def __post_init__(self) -> None:
        if self.action not in ("block", "count"):
            raise DeclarationError(f"firewall rule {self.name}: action is block or count, not {self.action!r}")
        if not _conditions(self, self.places):
            raise DeclarationError(f"firewall rule {self.name} names no condition, so it would match every request")
        if unknown := set(self.places) - set(PLACES):
            raise DeclarationError(f"firewall rule {self.name}: places are {', '.join(PLACES)}, not {min(unknown)!r}")


Condition = Callable[[Seen, str, str], bool]
"""Whether something holds of a request, its client's address and its country."""


class Compiled(msgspec.Struct, frozen=True):
    """A rule, ready to be asked."""

    rule: Rule
    conditions: tuple[Condition, ...]

    def matches(self, seen: Seen, client: str, country: str) -> bool:
        """Whether all of its conditions hold."""
        return all(holds(seen, client, country) for holds in self.conditions)


def compiled(rules: Sequence[Rule], *, body: bool) -> tuple[Compiled, ...]:
    """What of the rules is judged when the body is there, or before it."""
    return tuple(
        Compiled(rule, _conditions(rule, places))
        for rule in rules
        for needs_body, places in _parts(rule)
        if needs_body == body
    )


def _parts(rule: Rule) -> Iterator[tuple[bool, Sequence[Place]]]:
    """Whether a rule needs the body, and where its patterns are looked for; in two parts where only some of it does."""
    in_head: list[Place] = [place for place in rule.places if place != "body"]
    if rule.body_over_bytes is not None or rule.depth_over is not None:
        yield True, rule.places
    elif not rule.patterns:
        yield False, ()
    else:
        if in_head:
            yield False, in_head
        if "body" in rule.places:
            yield True, ("body",)


def _conditions(rule: Rule, places: Sequence[Place]) -> tuple[Condition, ...]:
    return tuple(_of_origin(rule)) + tuple(_of_form(rule)) + tuple(_of_size(rule)) + tuple(_of_text(rule, places))


def _of_origin(rule: Rule) -> Iterator[Condition]:
    where = f"firewall rule {rule.name}"
    if rule.addresses:
        blocks = networks(rule.addresses, where)
        yield lambda _seen, client, _country: within(client, blocks)
    if rule.not_addresses:
        others = networks(rule.not_addresses, where)
        yield lambda _seen, client, _country: not within(client, others)
    if countries := frozenset(map(str.upper, rule.countries)):
        yield lambda _seen, _client, country: country in countries
    if not_countries := frozenset(map(str.upper, rule.not_countries)):
        yield lambda _seen, _client, country: country not in not_countries


def _of_form(rule: Rule) -> Iterator[Condition]:
    if under := tuple(rule.under):
        yield lambda seen, _client, _country: seen.path.startswith(under)
    if methods := frozenset(map(str.upper, rule.methods)):
        yield lambda seen, _client, _country: seen.method in methods
    if not_methods := frozenset(map(str.upper, rule.not_methods)):
        yield lambda seen, _client, _country: seen.method not in not_methods
    if types := frozenset(map(str.lower, rule.content_types)):
        yield lambda seen, _client, _country: not types.isdisjoint(_media(seen))
    if not_types := frozenset(map(str.lower, rule.not_content_types)):
        yield lambda seen, _client, _country: "content-type" in seen.headers and not_types.isdisjoint(_media(seen))


def _of_size(rule: Rule) -> Iterator[Condition]:
    if (head_over := rule.head_over_bytes) is not None:
        yield lambda seen, _client, _country: head_bytes(seen) > head_over
    if (body_over := rule.body_over_bytes) is not None:
        yield lambda seen, _client, _country: len(seen.body) > body_over
    if (depth_over := rule.depth_over) is not None:
        yield lambda seen, _client, _country: deeper(seen.body, depth_over)


def _of_text(rule: Rule, places: Sequence[Place]) -> Iterator[Condition]:
    if rule.patterns and places:
        finds = _expression(rule).search
        yield lambda seen, _client, _country: any(finds(text) for place in places for text in _texts(seen, place))


def _expression(rule: Rule) -> re.Pattern[str]:
    try:
        return re.compile("|".join(f"(?:{_source(named)})" for named in rule.patterns), re.IGNORECASE)
    except re.error as error:
        sets = ", ".join(SETS)
        raise DeclarationError(
            f"firewall rule {rule.name}: a pattern is none of {sets}, and no regular expression: {error}"
        ) from None


def _source(named: str) -> str:
    """The expression of a set, its layout taken out, or one of the author's own."""
    return named if named not in SETS else re.sub(r"\s*\n\s*", "", SETS[named])


def _media(seen: Seen) -> tuple[str, str]:
    """The media type of the body, and the wildcard over it."""
    kind = seen.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind, f"{kind.partition('/')[0]}/*"


def head_bytes(seen: Seen) -> int:
    """The length of path, query and headers."""
    return len(seen.path) + len(seen.query) + sum(map(len, seen.headers)) + sum(map(len, seen.headers.values()))


def deeper(body: bytes, depth_max: int) -> bool:
    """Whether objects and arrays lie more than `depth_max` deep in each other; brackets in strings do not count."""
    if body.count(b"{") + body.count(b"[") <= depth_max:
        return False
    depth = 0
    for token in _STRUCTURE.finditer(body):
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
            if depth > depth_max:
                return True
        elif sign in (b"}", b"]"):
            depth -= 1
    return False


def _texts(seen: Seen, place: Place) -> Iterator[str]:
    match place:
        case "path":
            yield from _readings(seen.path)
        case "query" if seen.query:
            yield from _readings(seen.query)
        case "headers":
            for name in LOOKED_AT:
                if name in seen.headers:
                    yield from _readings(seen.headers[name])
        case "body" if seen.body:
            yield from _readings(seen.body.decode("utf-8", "replace"))
        case _:
            return


def _readings(text: str) -> Iterator[str]:
    """A text as it stands, and with its layers of escapes taken off, where there are any."""
    yield text
    for _ in range(LAYERS):
        plain = unescape(unquote_plus(_JSON_ESCAPE.sub(_character, text)))
        if plain == text:
            return
        yield plain
        text = plain


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else {"n": "\n", "t": "\t", "r": "\r"}.get(escape[2], escape[2])
