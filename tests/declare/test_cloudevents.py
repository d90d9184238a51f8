"""CloudEvents 1.0: the examples of the specification, and round trips."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.declare import cloudevents
from proa.declare.cloudevents import CloudEvent
from proa.errors import BadRequest

# The examples of the JSON event format, sections 3.1.1 and 3.2.
XML = b"""{
    "specversion" : "1.0",
    "type" : "com.example.someevent",
    "source" : "/mycontext",
    "subject": null,
    "id" : "C234-1234-1234",
    "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value",
    "comexampleothervalue" : 5,
    "datacontenttype" : "application/xml",
    "data" : "<much wow=\\"xml\\"/>"
}"""
OBJECT = b"""{
    "specversion" : "1.0",
    "type" : "com.example.someevent",
    "source" : "/mycontext",
    "subject": null,
    "id" : "C234-1234-1234",
    "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value",
    "comexampleothervalue" : 5,
    "datacontenttype" : "application/json",
    "data" : {
        "appinfoA" : "abc",
        "appinfoB" : 123,
        "appinfoC" : true
    }
}"""
BINARY = b"""{
    "specversion" : "1.0",
    "type" : "com.example.someevent",
    "source" : "/mycontext",
    "id" : "A234-1234-1234",
    "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value",
    "comexampleothervalue" : 5,
    "datacontenttype" : "application/vnd.apache.thrift.binary",
    "data_base64" : "Zm9vYmFy"
}"""
COMMON = {
    "type": "com.example.someevent",
    "source": "/mycontext",
    "time": "2018-04-05T17:31:00Z",
    "extensions": {"comexampleextension1": "value", "comexampleothervalue": 5},
}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            XML,
            CloudEvent(id="C234-1234-1234", datacontenttype="application/xml", data='<much wow="xml"/>', **COMMON),
        ),
        (
            OBJECT,
            CloudEvent(
                id="C234-1234-1234",
                datacontenttype="application/json",
                data={"appinfoA": "abc", "appinfoB": 123, "appinfoC": True},
                **COMMON,
            ),
        ),
        (
            BINARY,
            CloudEvent(
                id="A234-1234-1234",
                datacontenttype="application/vnd.apache.thrift.binary",
                data=b"foobar",
                **COMMON,
            ),
        ),
    ],
)
def test_the_documents_of_the_specification_are_read_and_written_back(document, expected):
    event = cloudevents.from_json(document)
    assert event == expected
    plain = {name: value for name, value in msgspec.json.decode(document).items() if value is not None}
    assert msgspec.json.decode(cloudevents.to_json(event)) == plain


def test_the_request_of_the_http_binding_is_read_and_written_back():
    headers = {
        "content-type": "application/json; charset=utf-8",
        "ce-specversion": "1.0",
        "ce-type": "com.example.someevent",
        "ce-time": "2018-04-05T03:56:24Z",
        "ce-id": "1234-1234-1234",
        "ce-source": "/mycontext/subcontext",
    }
    event = cloudevents.from_http({**headers, "host": "webhook.example.com"}, b'{"a":1}')
    assert event == CloudEvent(
        id="1234-1234-1234",
        source="/mycontext/subcontext",
        type="com.example.someevent",
        time="2018-04-05T03:56:24Z",
        datacontenttype="application/json; charset=utf-8",
        data={"a": 1},
    )
    assert cloudevents.to_http(event) == (headers, b'{"a":1}')


def test_a_structured_request_is_read_too():
    assert cloudevents.from_http({"content-type": "application/cloudevents+json; charset=utf-8"}, OBJECT).data == {
        "appinfoA": "abc",
        "appinfoB": 123,
        "appinfoC": True,
    }


def test_a_batch_is_read_and_written_back():
    events = [cloudevents.from_json(XML), cloudevents.from_json(BINARY)]
    assert cloudevents.from_batch(b"[" + XML + b"," + BINARY + b"]") == events
    assert cloudevents.from_batch(cloudevents.to_batch(events)) == events
    assert cloudevents.from_batch(b"[]") == []


def test_header_values_are_escaped_as_the_binding_says():
    """Its example: `Euro € 😀` becomes `Euro%20%E2%82%AC%20%F0%9F%98%80`."""
    event = CloudEvent(id="1", source="/a", type="t", subject="Euro € 😀")
    headers, _ = cloudevents.to_http(event)
    assert headers["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80"
    assert cloudevents.from_http(headers, b"") == event
    quoted = headers | {"ce-subject": '"Euro%20%E2%82%AC \\"x\\""'}
    assert cloudevents.from_http(quoted, b"").subject == 'Euro € "x"'


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "'id'"),
        ({"source": 3}, "'source'"),
        ({"type": None}, "'type'"),
        ({"time": "yesterday"}, "RFC 3339"),
        ({"time": "2018-04-05T17:31:00"}, "RFC 3339"),
        ({"Upper": "x"}, "'Upper'"),
        ({"nested": {"a": 1}}, "'nested'"),
        ({"data_base64": "%"}, "Base64"),
        ({"subject": 3}, "subject"),
    ],
)
def test_what_is_no_event_is_refused(change, why):
    document = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t"} | change
    with pytest.raises(BadRequest, match=why):
        cloudevents.from_json(msgspec.json.encode(document))


@pytest.mark.parametrize("document", [b"", b"[]", b"3", b"{", b'{"id": "caf\xe9"}'])
def test_what_is_no_object_is_refused(document):
    with pytest.raises(BadRequest):
        cloudevents.from_json(document)


def test_an_extension_has_a_name_that_other_systems_take():
    with pytest.raises(BadRequest, match="data_version"):
        cloudevents.to_json(CloudEvent(id="1", source="/a", type="t", extensions={"data_version": "1"}))


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)
EVENTS = st.builds(
    CloudEvent,
    id=TEXTS,
    source=TEXTS,
    type=TEXTS,
    subject=st.none() | TEXTS,
    datacontenttype=st.just("application/json"),
    data=st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.booleans(), min_size=1),
    extensions=st.dictionaries(st.from_regex(r"x[a-z0-9]{0,9}", fullmatch=True), TEXTS),
)


@given(EVENTS)
def test_an_event_comes_back_from_either_mode(event):
    assert cloudevents.from_json(cloudevents.to_json(event)) == event
    assert cloudevents.from_http(*cloudevents.to_http(event)) == event
