"""The OpenAPI 3.1 document of the device's API (https://spec.openapis.org/oas/v3.1.0), from the models."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from edge.box import release
from edge.web import answers, bodies

REF = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: what it takes, what it answers, and which refusals it has of its own."""

    method: str
    path: str
    summary: str
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    answer: type[BaseModel] | str | None = None
    """A model, or the media type of what is no JSON."""
    status: int = 200
    also: tuple[int, type[BaseModel], str] | None = None
    """Another good answer: its status, model and meaning."""
    errors: Sequence[int] = ()
    takes: str = "application/json"


CALLS = (
    Call(
        method="post",
        path="/api/v1/scans",
        summary="Judge a code at a lane; the same scan_id again gives the same answer",
        body=bodies.ScanRequest,
        answer=answers.ScanAnswer,
        also=(202, answers.NoticeAnswer, "No ticket but a badge or an enrolment code, and what came of it"),
        errors=(400, 404, 409, 413, 503),
    ),
    Call(
        method="get",
        path="/api/v1/scans",
        summary="The journal after a seq, oldest first",
        query=bodies.ScansQuery,
        answer=answers.ScansAnswer,
        errors=(400,),
    ),
    Call(
        method="post",
        path="/api/v1/scans/{id}/override",
        summary="Admit after a refusal, by a supervisor's word and with a reason",
        body=bodies.OverrideRequest,
        answer=answers.ScanAnswer,
        errors=(400, 404, 409, 413, 503),
    ),
    Call(
        method="get",
        path="/api/v1/scans/{id}/picture",
        summary="The picture in which a refused code was seen, while it is kept",
        answer="image/jpeg",
        errors=(404,),
    ),
    Call(
        method="get",
        path="/api/v1/history",
        summary="The newest answers of a lane, newest first",
        query=bodies.HistoryQuery,
        answer=answers.HistoryAnswer,
        errors=(400, 404),
    ),
    Call(
        method="get",
        path="/api/v1/status",
        summary="What the gate believes and how it fares",
        answer=answers.StatusAnswer,
    ),
    Call(
        method="get",
        path="/api/v1/live",
        summary="WebSocket: the status first, then each verdict, notice, passage, conflict and status as it happens",
        status=101,
        errors=(400,),
    ),
    Call(
        method="post",
        path="/api/v1/shift",
        summary="Sign a controller in at a lane, by badge or PIN",
        body=bodies.ShiftRequest,
        answer=answers.ShiftAnswer,
        errors=(400, 404, 413, 503),
    ),
    Call(
        method="delete",
        path="/api/v1/shift",
        summary="Sign out whoever is signed in at a lane",
        query=bodies.LaneQuery,
        status=204,
        errors=(400, 404, 503),
    ),
    Call(
        method="get",
        path="/api/v1/controllers",
        summary="Who may sign in; never their badges or PINs",
        answer=answers.ControllersAnswer,
    ),
    Call(
        method="get",
        path="/api/v1/cameras",
        summary="The cameras, and how each fares",
        answer=answers.CamerasAnswer,
    ),
    Call(
        method="get",
        path="/api/v1/cameras/{id}/live",
        summary="WebSocket: what a camera sees: its state as text, each picture as binary;"
        " any message asks for the next picture",
        query=bodies.PictureQuery,
        status=101,
        errors=(400, 404, 503),
    ),
    Call(
        method="post",
        path="/api/v1/changes",
        summary="Push mode: lines of the change feed, applied while they come in",
        query=bodies.ChangesQuery,
        takes="application/x-ndjson",
        answer=answers.ChangesAnswer,
        errors=(400, 404, 408, 409, 503),
    ),
    Call(method="post", path="/api/v1/sync/now", summary="Ask the CRM now", answer=answers.AskedAnswer, status=202),
    Call(
        method="post",
        path="/api/v1/sync/accept",
        summary="Let the ticket list take its place that is held back",
        answer=answers.AskedAnswer,
        status=202,
        errors=(409,),
    ),
    Call(
        method="get",
        path="/api/v1/sync/parked",
        summary="The scans that the CRM would not take, oldest first",
        answer=answers.ParkedAnswer,
    ),
    Call(
        method="post",
        path="/api/v1/sync/parked/retry",
        summary="Send all parked scans again",
        answer=answers.RetriedAnswer,
        status=202,
    ),
    Call(
        method="post",
        path="/api/v1/sync/parked/{id}/retry",
        summary="Send one parked scan again",
        answer=answers.RetriedAnswer,
        status=202,
        errors=(404,),
    ),
    Call(
        method="post",
        path="/api/v1/sync/parked/{id}/drop",
        summary="Give a parked scan up for good, with the reason",
        body=bodies.DropRequest,
        answer=answers.DroppedAnswer,
        errors=(400, 404),
    ),
    Call(method="get", path="/api/v1/openapi.json", summary="This document", answer="application/json"),
    Call(method="get", path="/healthz", summary="The gate runs; open to all", answer="text/plain"),
    Call(
        method="get",
        path="/readyz",
        summary="Guests can be judged now; 503 says why not",
        answer=answers.ReadyAnswer,
        errors=(503,),
    ),
    Call(method="get", path="/metrics", summary="For Prometheus", answer="text/plain"),
    Call(method="get", path="/", summary="The kiosk page; ?lane= chooses the lane", answer="text/html"),
    Call(method="get", path="/camera", summary="The page for aiming cameras", answer="text/html"),
)

_TEXT = {
    400: "Not understood; the message names the field and the mend",
    401: "From the network without a token: make one with brama token",
    403: "Not allowed to this person, page or host name",
    404: "No such thing",
    408: "Comes too slowly",
    409: "Not in this state",
    413: "Too long",
    415: "Not JSON, or packed; pushed changes may be packed with gzip",
    503: "Cannot be done now; nobody is admitted without a record",
}


def document_text() -> str:
    """Return the document as JSON."""
    return json.dumps(document(), ensure_ascii=False, separators=(",", ":"))


def document() -> dict[str, Any]:
    """Build the document."""
    inputs = [call.body for call in CALLS if call.body]
    outputs = [call.answer for call in CALLS if isinstance(call.answer, type)] + [answers.ErrorAnswer]
    outputs += [call.also[1] for call in CALLS if call.also]
    modes: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in inputs]
    modes += [(model, "serialization") for model in outputs]
    refs, definitions = models_json_schema(modes, ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Brama gate",
            "version": release(),
            "description": "Loopback is open; from the network send a token made with brama token.",
        },
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(call: Call, refs: Any) -> dict[str, Any]:
    """Describe one call."""
    operation: dict[str, Any] = {"summary": call.summary, "responses": _responses(call, refs)}
    parameters: list[dict[str, Any]] = []
    if "{id}" in call.path:
        parameters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    if call.query is not None:
        fields = call.query.model_json_schema()["properties"]
        parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in fields.items()]
    if parameters:
        operation["parameters"] = parameters
    if call.body is not None:
        schema = refs[call.body, "validation"]
        operation["requestBody"] = {"required": True, "content": {call.takes: {"schema": schema}}}
    elif call.takes != "application/json":
        operation["requestBody"] = {"required": True, "content": {call.takes: {"schema": {"type": "string"}}}}
    return operation


def _responses(call: Call, refs: Any) -> dict[str, Any]:
    """Describe what one call answers, refusals included; the guard's are those of every call but `/healthz`."""
    good: dict[str, Any] = {"description": call.summary}
    if isinstance(call.answer, str):
        good["content"] = {call.answer: {"schema": {"type": "string"}}}
    elif call.answer is not None:
        good["content"] = {"application/json": {"schema": refs[call.answer, "serialization"]}}
    guard = set() if call.path == "/healthz" else {401, 403} | ({415} if call.method == "post" else set())
    error = {"application/json": {"schema": refs[answers.ErrorAnswer, "serialization"]}}
    refusals = {str(code): {"description": _TEXT[code], "content": error} for code in sorted({*call.errors, *guard})}
    also = {}
    if call.also is not None:
        status, model, meaning = call.also
        content = {"application/json": {"schema": refs[model, "serialization"]}}
        also[str(status)] = {"description": meaning, "content": content}
    return {str(call.status): good, **also, **refusals}
