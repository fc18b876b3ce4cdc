"""Calls to the gRPC side as a client in another language makes them: message classes come from the server's own reflection."""
from __future__ import annotations

import re
import time
from pathlib import Path

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# With these a client may read a batch of 5 MiB, or a large manifest: the default is 4 MiB.
OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


def address_of(log: Path) -> str:
    """Where the server says that it listens."""
    until = time.monotonic() + 10
    while True:
        found = re.findall(r"gRPC +(\S+)", log.read_text())
        if found:
            return found[-1].replace("0.0.0.0", "127.0.0.1")
        assert time.monotonic() < until, "the server names no address of gRPC"
        time.sleep(0.02)


class Calls:
    def __init__(self, address: str, key: str = "", credentials: grpc.ChannelCredentials | None = None, options=()):
        self.channel = grpc.secure_channel(address, credentials, [*OPTIONS, *options]) if credentials else grpc.insecure_channel(address, [*OPTIONS, *options])
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)
        self.key = key
        self.methods: dict[str, object] = {}

    def close(self) -> None:
        self.channel.close()

    def type(self, name: str):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name if "." in name else f"evenhand.v1.{name}"))

    def method(self, path: str):
        """`AssignmentService.Get`, callable with a message or an iterator of them."""
        if path not in self.methods:
            service, name = path.rsplit(".", 1)
            service = service if "." in service else f"evenhand.v1.{service}"
            described = self.pool.FindServiceByName(service).FindMethodByName(name)
            kind = ("stream" if described.client_streaming else "unary") + "_" + ("stream" if described.server_streaming else "unary")
            answer = message_factory.GetMessageClass(described.output_type)
            self.methods[path] = getattr(self.channel, kind)(f"/{service}/{name}", request_serializer=lambda m: m.SerializeToString(), response_deserializer=answer.FromString)
        return self.methods[path]

    def call(self, path: str, request, key: str | None = None, timeout: float | None = 20, metadata=(), **more):
        key = self.key if key is None else key
        metadata = [*metadata, *([("authorization", f"Bearer {key}")] if key else [])]
        return self.method(path)(request, metadata=metadata, timeout=timeout, **more)

    # ---- what HTTP says as JSON ----

    def context(self, attributes: dict, sticky: list[dict] = ()):
        context = self.type("Context")()
        for name, value in attributes.items():
            self.fill(context.attributes[name], value)
        for record in sticky:
            context.sticky.add(**record)
        return context

    def fill(self, attribute, value) -> None:
        if isinstance(value, bool):
            attribute.boolean = value
        elif isinstance(value, int):
            attribute.integer = value
        elif isinstance(value, float):
            attribute.number = value
        elif isinstance(value, str):
            attribute.text = value
        elif isinstance(value, list):
            attribute.list.SetInParent()
            for element in value:
                self.fill(attribute.list.elements.add(), element)

    def as_http(self, decision, flag_types: dict[str, str] | None = None) -> dict:
        """A decision as `/v1/assignments` writes it; the fields in the same order, so that the texts are equal too."""
        optional = lambda field: getattr(decision, field) if decision.HasField(field) else None  # noqa: E731
        reason = self.pool.FindEnumTypeByName("evenhand.v1.Reason").values_by_number[decision.reason].name.removeprefix("REASON_")
        told = {"flag": decision.flag, "variation": optional("variation"), "value": value_of(decision), "reason": reason}
        for field in ("rule", "experiment", "phase", "epoch", "bucket"):
            if decision.HasField(field):
                told[field] = optional(field)
        if decision.HasField("exposure"):
            told["exposure"] = exposure_of(decision.exposure)
        if decision.holdout_exposures:
            told["holdout_exposures"] = [exposure_of(exposure) for exposure in decision.holdout_exposures]
        return told


def value_of(decision):
    import json
    kind = decision.value.WhichOneof("kind") if decision.HasField("value") else None
    if kind is None:
        return None
    value = getattr(decision.value, kind)
    return json.loads(value) if kind == "json" else value


def exposure_of(exposure) -> dict:
    """As the proto promises: protobuf's JSON with the original names is the event."""
    told = json_format.MessageToDict(exposure, preserving_proto_field_name=True)
    if "properties" in told:
        # A map of protobuf has no order.
        told["properties"] = dict(sorted(told["properties"].items()))
    return told
