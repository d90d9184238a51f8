"""The control plane: every node beats and observes, every region carries plans forward, nobody is in charge.

How to compose it, in each node's process (all parts share one `Parts`)::

    rules = Rules(regions, witness, edges, topology, preferred, failover, lease_s, rpo_s, health=policy_for(lease_s),
                  hold_down_s=...)                                     # proa.core.situation, proa.core.health
    shared = parts(store, rules, clock, entropy, telemetry)            # store: GlobalClient, or the witness's own
    await bootstrap(store, rules, entropy, by=name)                    # any region, once: creates the roles
    number, nonce = await register(store, name, disk, entropy)         # a region, before it serves; fresh=True to rejoin
    observer = Observer(name, probe, shared, changed=lambda: member.poke())   # probe: HttpProbe(base_url_of, timeout_s)
    member = Member(Life(name, kind, boot, version, schema), shared, region=region, seen=observer.seen)
    controller = Controller(name, shared)                              # regions only
    api = ControlApi(name, shared)                                     # regions only; ASGI under /_proa/control
    tasks: shared.view.run(), observer.run(), member.run(), controller.run()

Await `shared.view.poll(0)` once before the rest, and before a region applies its peers' commits: a hold or a cut may be
waiting. `member.run()` raises RegionFenced where this process must end. An edge passes
`acting=lambda: (agent.epoch, agent.revision)` and, on `shared.view.subscribe(...)`, applies
`shared.view.situation.assignment` and then calls `member.poke()`. A supervisor that saw a process exit calls
`confirm_end(store, name, boot, entropy)`, with the boot that the process announced.
"""

from proa.control.bootstrap import bootstrap
from proa.control.controller import Controller
from proa.control.ends import confirm_end
from proa.control.incarnation import register
from proa.control.member import Life, Member
from proa.control.observer import Observer
from proa.control.parts import Parts, parts
from proa.control.probe import HttpProbe
from proa.control.view import View

__all__ = [
    "Controller",
    "HttpProbe",
    "Life",
    "Member",
    "Observer",
    "Parts",
    "View",
    "bootstrap",
    "confirm_end",
    "parts",
    "register",
]
