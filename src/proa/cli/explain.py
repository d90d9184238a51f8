"""`proa explain CODE`: an error's docstring, out of the class itself; or a rule of `proa check`.

`proa explain consistency APP`: what an app's declarations promise. `proa explain admission APP`: what stands before its
handlers.
"""

from __future__ import annotations

import sys

from proa.cli.output import OK, explanation, print_json, print_table
from proa.errors import BY_CODE, UsageError


def explain(code: str, app: str = "", *, json: bool = False) -> int:
    """Explain an error code: what happened, why, and what to do. Or an app: what its tables and routes promise.

    Args:
        code: such as `PROA-R001`; the prefix may be left out. Or one of the words `consistency` and `admission`.
        app: after one of these: a folder with `app.py`, a file, or `module:attribute`.
        json: print JSON.
    """
    if code == "consistency":
        return _explain_consistency(app, json=json)
    if code == "admission":
        return _explain_admission(app, json=json)
    wanted = code.upper() if code.upper().startswith("PROA-") else f"PROA-{code.upper()}"
    if wanted.startswith("PROA-K"):
        return _explain_rule(wanted, json=json)
    kind = BY_CODE.get(wanted)
    if kind is None:
        raise UsageError(f"{code} is no code of Proa; the codes are {', '.join(sorted(BY_CODE))}")
    told = explanation(kind)
    if json:
        print_json(told)
    else:
        sys.stdout.write(
            f"{told.code} {told.title} (HTTP {told.status})\n\n{told.what}\n\nCause: {told.cause}\nFix: {told.fix}\n"
        )
    return OK


def _explain_consistency(app: str, *, json: bool) -> int:
    from proa.cli.consistency import markdown, page  # see `_explain_rule`
    from proa.local.plane import declared

    if not app:
        raise UsageError("name the app: proa explain consistency APP")
    found = page(declared(app))
    if json:
        print_json(found)
    else:
        sys.stdout.write(markdown(found))
    return OK


def _explain_admission(app: str, *, json: bool) -> int:
    from proa.cli.admission import passages, stages  # see `_explain_rule`
    from proa.local.plane import declared

    order, ways = stages(), passages(declared(app)) if app else []
    if json:
        print_json({"order": order, "routes": ways})
        return OK
    print_table(("STAGE", "DOES", "WHY HERE"), [(one.stage, one.does, one.why_here) for one in order])
    for way in ways:
        sys.stdout.write(f"\n{way.route}\n")
        for stage, declares in way.stages.items():
            sys.stdout.write(f"  {stage:<13} {declares}".rstrip() + "\n")
    return OK


def _explain_rule(code: str, *, json: bool) -> int:
    from proa.cli.dangers import RULES  # errors are explained without the parts that look at apps

    rule = next((rule for rule in RULES if rule.code == code), None)
    if rule is None:
        raise UsageError(f"{code} is no rule of `proa check`; the rules are {', '.join(rule.code for rule in RULES)}")
    told = {"code": rule.code, "title": rule.title, "verdict": rule.verdict, "cause": rule.cause, "fix": rule.fix}
    if json:
        print_json(told)
    else:
        sys.stdout.write(f"{rule.code} {rule.title} ({rule.verdict})\n\nCause: {rule.cause}\nFix: {rule.fix}\n")
    return OK
