"""The control plane: every node beats and observes, every region carries plans forward, nobody is in charge.

How to compose it, in each node's process (all share one `Parts`). Each name is in the module of its own name
(`member.Member`, `member.Life`, `observer.Observer`, `controller.Controller`, `api.ControlApi`, `parts.parts`,
`bootstrap.bootstrap`, `incarnation.register`)::

    rules = Rules(regions, witness, edges, topology, preferred, failover, lease_s, rpo_s, health=policy_for(lease_s),
                  hold_down_s=...)                                    # proa.core.situation, proa.core.health
    shared = parts(store, rules, clock, entropy, telemetry)            # store: GlobalClient, or the witness's own
    await bootstrap(store, rules, entropy, by=name)                    # any region, once: creates the roles
    number, nonce = await register(store, name, disk, entropy)         # a region, before it serves (fresh=True: rejoin)
    observer = Observer(name, probe, shared, lambda: member.poke())    # probe: local.probe.HttpProbe, or a Prober
    member = Member(Life(name, kind, boot, version, schema), shared, region=region, seen=observer.seen)
    controller = Controller(name, shared)                              # regions only
    api = ControlApi(name, shared)                                     # regions only; ASGI under /_proa/control
    tasks: shared.view.run(), observer.run(), member.run(), controller.run()

Await `shared.view.poll(0)` once before the rest, and before a region applies its peers' commits: a hold or a cut may be
waiting. `member.run()` raises RegionFenced where this process must end. An edge passes
`acting=lambda: (agent.epoch, agent.revision)` and, on `shared.view.subscribe(...)`, applies
`shared.view.situation.assignment` and then calls `member.poke()`.
"""
