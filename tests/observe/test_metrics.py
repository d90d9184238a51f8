"""Metrics as Prometheus reads them."""

from proa.observe.metrics import Registry
from proa.runtime.events import CommitsApplied, CommitsParked, UnitFinished
from proa.runtime.measure import measured_events


def test_counters_histograms_and_gauges_carry_the_common_labels():
    metrics = Registry({"region": "eu"})
    metrics.count("units_total", ("status", "200"))
    metrics.count("units_total", ("status", "200"), by=2)
    metrics.gauge("epoch", lambda: [({}, 7)])
    assert metrics.text().splitlines() == [
        "# TYPE units_total counter",
        'units_total{region="eu",status="200"} 3',
        "# TYPE epoch gauge",
        'epoch{region="eu"} 7',
    ]


def test_a_histogram_counts_up_to_each_bound():
    metrics = Registry({})
    for value in (0.001, 0.004, 9.0):
        metrics.observe("took_seconds", value)
    lines = metrics.text().splitlines()
    assert 'took_seconds_bucket{le="0.001"} 1' in lines
    assert 'took_seconds_bucket{le="0.005"} 2' in lines
    assert 'took_seconds_bucket{le="5"} 2' in lines
    assert lines[-3:] == ['took_seconds_bucket{le="+Inf"} 3', "took_seconds_sum 9.005", "took_seconds_count 3"]


def test_label_values_are_escaped():
    metrics = Registry({})
    metrics.count("odd_total", ("path", 'a"b\\c\nd'))
    assert 'odd_total{path="a\\"b\\\\c\\nd"} 1' in metrics.text()


def test_events_of_a_region_become_metrics():
    metrics = Registry({})
    told = measured_events(metrics)
    told(UnitFinished("POST /x", 200, 0.002, "u", "t", 1, replayed=True))
    told(CommitsApplied("us", 2, [0.001, 0.02]))
    told(CommitsParked(3, 2))
    lines = metrics.text().splitlines()
    assert 'proa_units_total{route="POST /x",status="200"} 1' in lines
    assert 'proa_units_replayed_total{route="POST /x"} 1' in lines
    assert 'proa_commits_applied_total{peer="us"} 2' in lines
    assert 'proa_replication_lag_seconds_count{peer="us"} 2' in lines
    assert "proa_commits_parked_total 3" in lines
