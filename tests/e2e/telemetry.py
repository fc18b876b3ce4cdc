"""Traces and metrics at a collector: a real OTLP receiver that goes away and comes back, and a server that does not care."""
from __future__ import annotations

import json
import re
import threading
import time
from concurrent import futures

import grpc
from grpc_calls import Calls, address_of
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from server_process import ServerProcess, free_port, server_command
from world import World, event, now_ms

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE[:-1]}7-{PARENT}-00"


class Collector(trace_grpc.TraceServiceServicer, metrics_grpc.MetricsServiceServicer):
    """Keeps what it is sent."""

    def __init__(self, port: int):
        self.spans, self.metrics, self.resources, self.lock = [], {}, [], threading.Lock()
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        trace_grpc.add_TraceServiceServicer_to_server(self, self.server)
        metrics_grpc.add_MetricsServiceServicer_to_server(self, self.server)
        assert self.server.add_insecure_port(f"127.0.0.1:{port}") == port
        self.server.start()

    def stop(self) -> None:
        self.server.stop(0).wait()

    def Export(self, request, context):  # noqa: N802
        with self.lock:
            if isinstance(request, trace_pb.ExportTraceServiceRequest):
                for resource in request.resource_spans:
                    self.resources.append({a.key: a.value.string_value for a in resource.resource.attributes})
                    self.spans += [span for scope in resource.scope_spans for span in scope.spans]
                return trace_pb.ExportTraceServiceResponse()
            for resource in request.resource_metrics:
                self.metrics = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
            return metrics_pb.ExportMetricsServiceResponse()

    def trace(self, trace_id: str) -> dict[str, object]:
        """Spans of a trace by name."""
        with self.lock:
            return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}


def play(world: World) -> None:
    off(world)
    port = free_port()
    config = world.directory / "telemetry.toml"
    # Only what a caller samples is traced, but for the last part.
    config.write_text(f'[telemetry]\notlp = "http://127.0.0.1:{port}"\nservice_name = "shop-experiments"\nsample_ratio = 0.0\nmetrics_every_s = 1\n[grpc]\nlisten = "127.0.0.1:0"\n')
    base = world.directory / "traced"
    base.mkdir()
    server = ServerProcess([*server_command(None), "--config", str(config)], base, faultfs=False)
    world.server.stop()
    world.connection.close()
    whole, world.server = world.server, server
    server.start()
    world.connection.port = server.port
    world.flag("traced")
    try:
        collector = Collector(port)
        joined(world, collector)
        measured(world, collector)
        collector.stop()
        away(world, collector, port)
    finally:
        world.server.destroy()
        world.server = whole


def off(world: World) -> None:
    text = world.http("GET", "/metrics").body.decode()
    world.decide({"user_id": "u"}, "traced", headers={"traceparent": SAMPLED})
    world.equal(re.findall(r"evenhand_telemetry_spans_\w+_total (\d+)", text), ["0", "0"], "without a collector nothing is made")


def joined(world: World, collector: Collector) -> None:
    """A caller's trace goes on here, over HTTP and gRPC, for decisions and for events."""
    world.decide({"user_id": "u"}, headers={"traceparent": UNSAMPLED})
    world.http("GET", "/v1/assignments?user_id=u", key=world.keys["server"], headers={"traceparent": SAMPLED})
    events = [event(n, "bought", "u", now_ms()) for n in range(3)]
    world.http("POST", "/v1/events", [*events, {}], world.keys["server"], {"traceparent": SAMPLED})
    calls = Calls(address_of(world.server.log_path), world.keys["server"])
    request = calls.type("GetRequest")(context=calls.context({"user_id": "u"}), flag="nowhere")
    calls.call("AssignmentService.Get", request, metadata=[("traceparent", SAMPLED)])
    batch = calls.type("PublishRequest")(batch=1, events={"events": json.dumps(event(9, "bought", "u", now_ms())).encode()})
    list(calls.call("EventService.Publish", iter([batch]), metadata=[("traceparent", SAMPLED)]))
    calls.close()
    names = {"GET /v1/assignments", "POST /v1/events", "evenhand.v1.AssignmentService/Get", "evenhand.v1.EventService/Publish"}
    spans = world.eventually(lambda: collector.trace(TRACE), lambda spans: names <= set(spans), "the spans of the caller's trace arrive")
    for name in names:
        world.check(spans[name].parent_span_id.hex() == PARENT and spans[name].kind == 2, f"{name} is a server's span below the caller's", spans[name])
    with collector.lock:
        by_id = {span.span_id: span for span in collector.spans}
        below = {(by_id[span.parent_span_id].name, span.name) for span in collector.spans if span.parent_span_id in by_id}
        ingests = [{a.key: a.value.int_value for a in span.attributes} for span in collector.spans if span.name == "ingest"]
        resources, traces = collector.resources, {span.trace_id.hex() for span in collector.spans}
    expected = {("GET /v1/assignments", "evaluate"), ("evenhand.v1.AssignmentService/Get", "evaluate"), ("POST /v1/events", "ingest"), ("evenhand.v1.EventService/Publish", "ingest"), ("ingest", "log")}
    world.check(expected <= below, "request → evaluate, request → ingest → log", below)
    world.check({(3, 1), (1, 0)} <= {(i.get("accepted"), i.get("rejected")) for i in ingests}, "an ingest says how many events were taken", ingests)
    world.check(all(r["service.name"] == "shop-experiments" and r["service.version"] for r in resources), "the service is named", resources)
    world.equal(traces, {TRACE}, "what the caller does not sample is not traced")
    personal = [str(span) for span in collector.spans if "user_id" in str(span) or "evs_" in str(span)]
    world.equal(personal, [], "no span holds an id of a user or a key")


def measured(world: World, collector: Collector) -> None:
    """The numbers of `/metrics`, and no others."""
    def told():
        text = world.http("GET", "/metrics").body.decode()
        scraped = {name.removesuffix("_total"): kind for name, kind in re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", text, re.M)}
        with collector.lock:
            return text, scraped, dict(collector.metrics)
    text, scraped, metrics = world.eventually(told, lambda t: set(t[1]) == set(t[2]) and t[2]["evenhand_decisions"].sum.data_points[0].as_double >= 2, "every series is exported")
    kinds = {name: {"sum": "counter"}.get(metric.WhichOneof("data"), metric.WhichOneof("data")) for name, metric in metrics.items()}
    world.equal(kinds, scraped, "each as what it is")
    decisions = int(re.search(r"^evenhand_decisions_total (\d+)", text, re.M)[1])
    world.eventually(lambda: collector.metrics["evenhand_decisions"].sum.data_points[0].as_double, lambda value: value == decisions, "with its value")
    sums = collector.metrics["evenhand_decisions"].sum
    world.check(sums.is_monotonic and sums.aggregation_temporality == 2, "a counter is a cumulative monotonic sum", sums)
    calls = {tuple((a.key, a.value.string_value) for a in p.attributes): p.as_double for p in collector.metrics["evenhand_grpc_calls"].sum.data_points}
    world.equal(calls.get((("method", "Get"), ("code", "Ok"))), 1.0, "labels are attributes")
    histogram = collector.metrics["evenhand_http_request_seconds"].histogram.data_points[0]
    world.check(sum(histogram.bucket_counts) == histogram.count > 0 and len(histogram.bucket_counts) == len(histogram.explicit_bounds) + 1, "a histogram's buckets hold all it counts", histogram)


def away(world: World, collector: Collector, port: int) -> None:
    """The collector goes: nobody waits, what is lost is counted. It comes back: so do the spans."""
    counter = lambda name: int(re.search(rf"^evenhand_telemetry_{name}_total (\d+)", world.http("GET", "/metrics").body.decode(), re.M)[1])  # noqa: E731
    slowest = 0.0
    for _ in range(300):
        began = time.monotonic()
        world.http("GET", "/v1/assignments?user_id=u", key=world.keys["server"], headers={"traceparent": SAMPLED})
        slowest = max(slowest, time.monotonic() - began)
    world.check(slowest < 1.0, "no request waits for a collector that is away", slowest)
    world.eventually(lambda: counter("spans_dropped"), lambda dropped: dropped >= 300, "lost spans are counted")
    world.check(counter("metric_export_failures") >= 1 or world.eventually(lambda: counter("metric_export_failures"), lambda n: n >= 1, "failed exports are counted"), "and failed exports")
    again = Collector(port)
    fresh = TRACE[:-2] + "ff"

    def ask():
        world.http("GET", "/v1/assignments?user_id=u", key=world.keys["server"], headers={"traceparent": f"00-{fresh}-{PARENT}-01"})
        return again.trace(fresh)
    world.eventually(ask, lambda spans: "GET /v1/assignments" in spans, "a collector that is back gets spans again")
    before = len(again.trace("0" * 30 + "aa"))
    world.http("GET", "/v1/assignments?user_id=u", key=world.keys["server"], headers={"traceparent": f"00-{'0' * 30}aa-{PARENT}-01"})
    world.server.stop()
    world.check(before == 0 and again.trace("0" * 30 + "aa"), "the last spans are sent before the process ends")
    again.stop()
