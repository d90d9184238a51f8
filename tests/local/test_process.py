"""Children of the supervisor: ready, ended, and never left behind."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proa.errors import NodeFailed
from proa.local.layout import lay_out
from proa.local.process import Child, python
from proa.runtime.config import save

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from proa.local.process import Child, python
import os

async def main():
    argv = python("proa.local.node", "witness", "--config", sys.argv[1], "--parent", str(os.getpid()))
    child = Child("witness", argv, Path(sys.argv[2]), lambda _: None)
    await child.start()
    await child.heard()
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def configured(tmp_path):
    app, config = tmp_path / "app.py", tmp_path / "cluster.json"
    app.write_text('from proa import App\napp = App("shop", regions=["eu-west-1"])\n')
    save(lay_out(str(app), ("eu-west-1",), tmp_path, {}).config, config)
    return config


def alive(pid):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def gone_within(pid, seconds):
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


@pytest.mark.processes
def test_a_node_says_when_it_is_ready_and_stops_cleanly(tmp_path):
    async def main():
        ends = []
        argv = python("proa.local.node", "witness", "--config", str(configured(tmp_path)), "--parent", str(os.getpid()))
        child = Child("witness", argv, tmp_path / "witness.log", lambda ended: ends.append(ended.returncode))
        await child.start()
        said = await child.heard()
        await child.stop()
        assert said.startswith(b'{"ready":"witness","boot":"')
        assert (ends, child.running) == ([0], False)

    asyncio.run(main())


@pytest.mark.processes
def test_a_child_that_fails_is_reported_with_the_end_of_its_log(tmp_path):
    async def main():
        child = Child("eu-west-1", python("proa.local.node", "eu-west-1"), tmp_path / "x.log", lambda _: None)
        await child.start()
        with pytest.raises(NodeFailed, match=r"eu-west-1 ended before it was ready; the end of its log:[^@]*--config"):
            await child.heard()
        await child.stop()

    asyncio.run(main())


@pytest.mark.processes
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "paused"])
def test_a_node_ends_when_its_supervisor_is_killed(tmp_path, stopped):
    command = [sys.executable, "-c", SUPERVISOR, str(configured(tmp_path)), str(tmp_path / "witness.log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        pid = int(supervisor.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        supervisor.kill()
    assert gone_within(pid, 5)
