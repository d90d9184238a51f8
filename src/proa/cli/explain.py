"""`proa explain CODE`: an error's docstring, out of the class itself."""

from __future__ import annotations

import sys

from proa.cli.output import OK, explanation, print_json
from proa.errors import BY_CODE, UsageError


def explain(code: str, *, json: bool = False) -> int:
    """Explain an error code: what happened, why, and what to do.

    Args:
        code: such as `PROA-R001`; the prefix may be left out.
        json: print JSON.
    """
    wanted = code.upper() if code.upper().startswith("PROA-") else f"PROA-{code.upper()}"
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
