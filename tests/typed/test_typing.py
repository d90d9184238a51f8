"""Pyright strict accepts what an author writes and rejects wrong row types."""

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def findings(*names):
    settings = HERE / "pyrightconfig.json"
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "-p", str(settings)],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(run.stdout)["generalDiagnostics"]
    found = {name: [] for name in names}
    for item in report:
        name = Path(item["file"]).name
        if name in found and item["severity"] == "error":
            found[name].append((item["range"]["start"]["line"] + 1, item["rule"]))
    return found


def test_pyright_accepts_an_app_and_rejects_wrong_row_types():
    expected = [
        (number, match[1])
        for number, line in enumerate((HERE / "rejected.py").read_text().splitlines(), 1)
        if (match := re.search(r"# expected: (\w+)", line))
    ]
    found = findings("accepted.py", "rejected.py")
    assert found["accepted.py"] == []
    follow_ups = {"reportUnknownMemberType", "reportUnknownVariableType", "reportUnknownArgumentType"}
    assert [(line, rule) for line, rule in found["rejected.py"] if rule not in follow_ups] == expected
