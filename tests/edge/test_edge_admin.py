"""What the agent reads out of Envoy's own statistics."""

from proa.edge.admin import EdgeStats, RegionTraffic, stats_of, taken


def host(region, *, requests, errors=0, health=None):
    counts = {"rq_total": requests, "rq_error": errors, "cx_connect_fail": errors, "rq_active": 1}
    return {
        "locality": {"region": region},
        "health_status": health or {"eds_health_status": "HEALTHY"},
        # Envoy leaves the value out where it is zero.
        "stats": [{"name": name, **({"value": str(value)} if value else {})} for name, value in counts.items()],
    }


def test_a_regions_traffic_is_the_sum_over_the_clusters_that_share_it():
    sick = {"failed_outlier_check": True, "eds_health_status": "HEALTHY"}
    clusters = {
        "cluster_statuses": [
            {"name": "regions_live", "host_statuses": [host("eu", requests=3), host("us", requests=0)]},
            {"name": "regions_health", "host_statuses": [host("eu", requests=4, errors=2, health=sick)]},
        ]
    }
    counters = {
        "stats": [
            {"name": "cluster.regions_live.upstream_rq_retry", "value": 2},
            {"name": "cluster.regions_health.upstream_rq_retry", "value": 3},
            {"name": "cluster.regions_health.upstream_rq_retry_success", "value": 4},
            {"name": "cluster.regions_health.upstream_rq_retry_overflow", "value": 1},
        ]
    }
    assert stats_of(clusters, counters) == EdgeStats(
        {
            "eu": RegionTraffic(7, 2, 2, in_flight=2, healthy=False, ejected=True),
            "us": RegionTraffic(0, 0, 0, in_flight=1),
        },
        retries=5,
        retries_won=4,
        retries_refused=1,
    )


def test_clusters_that_disagree_on_the_plan_are_seen():
    def text(name, value):
        return {"name": f"cluster.{name}.version_text", "value": value}

    assert taken({"stats": [text("regions_live", "2.0"), text("regions_health", "1.0")]}) == {"1.0", "2.0"}
    assert taken({"stats": []}) == set()
