"""Registration: a sign-up leads to a mail, a profile and a count, each by itself."""

from pathlib import Path

import msgspec

from proa.app import load_app
from proa.runtime.events import MessageHandled
from support.inproc import until
from support.messages import play

REGISTRATION = Path(__file__).parents[2] / "examples" / "registration"


async def sign_up(s, region, number):
    body = {"name": f"Ada {number}", "email": f"ada-{number}@example.org"}
    answer = await s.request(region, "POST", "/members", body, key=f"key-{number}")
    return msgspec.json.decode(answer.body)["id"]


def handled(s, queue):
    return [event for event in s.events if isinstance(event, MessageHandled) and event.queue.endswith(queue)]


async def told(s, path):
    answer = await s.request("eu-west-1", "GET", path)
    return answer.status, msgspec.json.decode(answer.body)


def test_a_sign_up_leads_to_a_mail_a_profile_and_a_count(tmp_path):
    async def story(s):
        member = await sign_up(s, "eu-west-1", 1)
        assert await sign_up(s, "us-east-1", 1) == member
        await until(lambda: all(len(handled(s, name)) == 1 for name in ("welcome", "profile", "count")))
        assert await told(s, f"/members/{member}/profile") == (200, {"id": member, "shown_as": "Ada"})
        assert await told(s, "/days/eu-west-1") == (200, 1)

    play(tmp_path, load_app(str(REGISTRATION)), story)


def test_a_dead_mail_provider_delays_mails_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRATION_MAIL", "down")

    async def story(s):
        members = [await sign_up(s, "eu-west-1", number) for number in range(5)]
        await until(lambda: len(handled(s, "profile")) == 5)
        assert handled(s, "welcome") == []
        assert (await told(s, f"/mails/{members[0]}"))[0] == 404
        monkeypatch.setenv("REGISTRATION_MAIL", "up")
        await until(lambda: len(handled(s, "welcome")) == 5)
        assert (await told(s, f"/mails/{members[0]}"))[1]["to"] == "ada-0@example.org"

    play(tmp_path, load_app(str(REGISTRATION)), story)
