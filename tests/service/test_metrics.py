"""Metrics: our histogram against prometheus_client's, late chunks, the queue, and sums over processes."""

import numpy as np
import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from service.telemetry.histogram import HistogramFamily
from service.telemetry.metrics import LATENCY_BUCKETS, Metrics
from service.telemetry.worker_metrics import WorkerMetrics, retire


def lines(collector):
    """Samples, but the times at which counters were made."""
    text = generate_latest(collector).decode()
    return sorted(line for line in text.splitlines() if "_created" not in line)


def test_the_histogram_shows_what_prometheus_shows_for_the_same_values():
    values = [*np.random.default_rng(0).exponential(0.02, 500), *LATENCY_BUCKETS, 0, 7]
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram = HistogramFamily("x_seconds", "Times", LATENCY_BUCKETS, ours).series()
    expected = prometheus_client.Histogram("x_seconds", "Times", buckets=LATENCY_BUCKETS, registry=theirs)
    for value in values:
        histogram.observe(value)
        expected.observe(value)
    assert lines(ours) == lines(theirs)


def test_histograms_with_a_label_show_what_prometheus_shows():
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    family = HistogramFamily("x", "Rows", (1, 2, 4), ours, "variant")
    expected = prometheus_client.Histogram("x", "Rows", ["variant"], buckets=(1, 2, 4), registry=theirs)
    for index, name in enumerate(["crn/original", "crn/pruned", "crn/original"]):
        family.series(name).observe(2 * index)
        expected.labels(name).observe(2 * index)
    assert lines(ours) == lines(theirs)


def test_chunks_are_late_above_40_ms():
    metrics = Metrics()
    for seconds in (0.001, 0.04, 0.0401, 3.0):
        metrics.chunk_latency.observe(seconds)
    assert metrics.registry.get_sample_value("quietwire_late_chunks_total") == 2
    assert metrics.registry.get_sample_value("quietwire_chunk_latency_seconds_count") == 4


def test_a_step_counts_its_time_by_variant_and_its_rows():
    metrics = Metrics()
    metrics.observe_step("crn/original", 5, 0.002)
    metrics.observe_step("crn/pruned", 3, 0.001)
    value = metrics.registry.get_sample_value
    assert value("quietwire_step_seconds_sum", {"variant": "crn/original"}) == 0.002
    assert value("quietwire_step_seconds_bucket", {"variant": "crn/pruned", "le": "0.001"}) == 1
    assert (value("quietwire_batch_rows_count"), value("quietwire_batch_rows_sum")) == (2, 8)


def test_the_depth_of_the_queue_is_asked_for_when_it_is_shown():
    metrics, waiting = Metrics(), [0.5]
    metrics.watch_queue(lambda: waiting[0])
    assert metrics.registry.get_sample_value("quietwire_queue_seconds") == 0.5
    waiting[0] = 0.25
    assert metrics.registry.get_sample_value("quietwire_queue_seconds") == 0.25


@pytest.fixture
def workers(tmp_path):
    """Two processes' metrics in one folder, and a function that gives what either would show."""

    class Worker:
        def __init__(self, number):
            self.registry = CollectorRegistry()
            self.counter = Counter("c", "Count", ["code"], registry=self.registry)
            self.gauge = Gauge("g", "Level", registry=self.registry)
            self.histogram = HistogramFamily("h", "Times", (1, 2), self.registry).series()
            self.shared = WorkerMetrics(tmp_path, number, self.registry)

    def shown(worker):
        return {
            line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines(worker.shared.total()) if line[0] != "#"
        }

    return Worker(1), Worker(2), shown


def test_every_process_shows_the_sum_over_all(workers):
    one, two, shown = workers
    one.counter.labels("a").inc(3)
    two.counter.labels("a").inc(4)
    two.counter.labels("b").inc(5)
    one.gauge.set(1)
    two.gauge.set(2.5)
    for worker, value in ((one, 0.5), (two, 0.5), (two, 1.5), (two, 9)):
        worker.histogram.observe(value)
    two.shared.publish()
    expected = {'c_total{code="a"}': 7, 'c_total{code="b"}': 5, "g": 3.5}
    expected |= {'h_bucket{le="1.0"}': 2, 'h_bucket{le="2.0"}': 3, 'h_bucket{le="+Inf"}': 4, "h_count": 4, "h_sum": 11.5}
    assert shown(one) == expected
    assert shown(two) == expected


def test_counts_of_an_ended_process_stay_and_its_levels_go(workers, tmp_path):
    one, two, shown = workers
    one.counter.labels("a").inc(3)
    one.gauge.set(1)
    one.histogram.observe(0.5)
    two.counter.labels("a").inc(4)
    two.gauge.set(2)
    one.shared.publish()
    before = shown(two)
    retire(tmp_path, 1)
    retire(tmp_path, 1)
    assert shown(two) == before | {"g": 2}
    retire(tmp_path, 2)
    assert shown(two)['c_total{code="a"}'] == 7, "counted twice while its file was still there"


def test_what_a_process_has_shown_is_never_lost(workers, tmp_path):
    one, two, shown = workers
    one.counter.labels("a").inc(3)
    assert shown(one)['c_total{code="a"}'] == 3
    retire(tmp_path, 1)
    assert shown(two)['c_total{code="a"}'] == 3


def test_processes_that_died_are_counted_even_if_they_never_said_a_word(tmp_path):
    metrics = Metrics()
    shared = WorkerMetrics(tmp_path, 4, metrics.registry)
    for number, died in ((1, True), (2, True), (3, False)):
        if number != 1:
            WorkerMetrics(tmp_path, number, Metrics().registry).publish()
        retire(tmp_path, number, died=died)
    assert "quietwire_worker_deaths_total 2.0" in lines(shared.total())
    assert "quietwire_workers 1.0" in lines(shared.total())


def test_a_folder_that_is_gone_stops_nobody(tmp_path):
    metrics = Metrics()
    WorkerMetrics(tmp_path / "gone", 1, metrics.registry).publish()
