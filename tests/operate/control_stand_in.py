"""Regions' answers about a queue, in place of a running system."""

from proa.errors import RegionSilent
from proa.operate.asking import Asking

LETTER = {
    "message": "m1", "queue": "orders", "region": "eu", "group": "", "died_at": 1_800_000_000.0, "error": "KeyError",
    "said": "KeyError: 'a'", "fingerprint": "0badcafe", "attempts": 1, "redriven": 0, "sent_at": 1_799_999_990.0,
    "unit": "u1", "trace": "", "body": {"id": "7"},
    "history": [{"at": 1_799_999_999.0, "region": "eu", "error": "KeyError", "said": "KeyError: 'a'", "took_s": 0.5}],
}  # fmt: skip


JOB = {"id": "j", "queue": "orders", "what": "redrive", "moved": 0, "state": "running", "why": ""}


class Regions(Asking):
    """`eu` and `us`; who is among the `deaf` does not answer.

    What a path is answered may be different in one of them (`us/...`), depend on the body, be an error, or be a list of
    what is answered one after the other.
    """

    def __init__(self, answers, deaf=()):
        self.deaf = set(deaf)
        self.asked = []
        self._answers = answers

    def regions(self, region):
        return (region,) if region else ("eu", "us")

    def silent(self, error, missing):
        pass

    def ask(self, region, method, path, body=None):
        self.asked.append((region, method, path, body))
        if region in self.deaf:
            raise RegionSilent(region, "refused")
        answer = self._answers.get(f"{region}/{path}", self._answers.get(path))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(body) if callable(answer) else answer
