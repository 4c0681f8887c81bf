"""What the OpenAPI says of bodies and answers: they are checked by hand, so described by hand."""

from collections.abc import Mapping
from typing import Any

from nucleate.monitor.service._bodies import BLANK, JSON, LARGEST, PACKED, WIDTH_HEADER
from nucleate.monitor.service._held import Held
from nucleate.monitor.service._limits import Limits

_PROBLEM = {JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
REFUSALS = {
    400: "The body is no JSON, or the host is not one of the service's.",
    401: "The token is missing or wrong.",
    403: "A service without a token reloads on SIGHUP only.",
    404: "There is none.",
    405: "The path does not know this method.",
    408: "The body did not arrive in time.",
    409: "What would be loaded cannot be served; the old one stays.",
    413: "The body is too large.",
    415: "The content type is not one of those described.",
    422: "The body can be read but not scored; the sentence names the row.",
    429: "Too many requests are being answered.",
    503: "The service is stopping.",
}


def said(status: int, name: str | None, *refused: int) -> dict[int | str, dict[str, Any]]:
    """Answers of an operation: the good one by its schema's name, and the refusals."""
    schema = {} if name is None else {"$ref": f"#/components/schemas/{name}"}
    good = {"description": "As asked.", "content": {JSON: {"schema": schema}}}
    answers: dict[int | str, dict[str, Any]] = {status: good}
    for each in refused:
        answers[each] = {"description": REFUSALS[each], "content": _PROBLEM}
    return answers


SCORE_BODY: dict[str, Any] = {
    "parameters": [
        {
            "name": WIDTH_HEADER,
            "in": "header",
            "required": False,
            "description": f"Width of the vectors; {PACKED} needs it.",
            "schema": {"$ref": "#/components/schemas/Width"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/Rows"}},
            PACKED: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "Rows of float32 numbers, little-endian, one row after another.",
                }
            },
        },
    },
}


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def components(held: Held, limits: Limits, *, reads: bool, token: bool) -> dict[str, Any]:
    """The schemas, with the width of the atlas in service and the limits in force."""
    width = held.atlas.width
    vector = {
        "type": "array",
        "items": {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
        "minItems": width,
        "maxItems": width,
        "description": f"A hidden state at {held.about['stream']}, {held.about['position']}.",
    }
    text = {"type": "string", "minLength": 1, "maxLength": limits.text, "pattern": f"[^{BLANK}]"}
    forms = [{"vector": vector}, {"vector": vector, "text": text}]
    forms += [{"text": text}] if reads else []
    rows = [
        {"type": "array", "minItems": 1, "maxItems": limits.rows, "items": _object(form)}
        for form in forms
    ]
    found: dict[str, Any] = {
        "Width": {"type": "integer", "enum": [width]},
        "Rows": _object({"rows": {"anyOf": rows}}),
        "Scores": _scores(),
        "Problem": _object({"error": {"type": "string", "description": "One sentence."}}),
        "Drift": {"type": "object", "required": ["kind", "verdict"]},
        "Gate": _object(
            {
                "report": {"type": "object", "required": ["verdict"]},
                "atlas": {"type": "string"},
                "of_this_atlas": {"type": ["boolean", "null"]},
            }
        ),
        "State": _object({"status": {"type": "string"}, "atlas": {"type": "string"}}, "atlas"),
        "Reloaded": _object({"atlas": {"type": "string"}, "before": {"type": "string"}}),
    }
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}} if token else {}
    return {"schemas": found, "securitySchemes": schemes}


def _scores() -> dict[str, Any]:
    share = {"type": "number", "minimum": 0, "maximum": 1}
    row = {
        "cluster": {"type": "string", "description": "The nearest cluster."},
        "probability": {**share, "description": "Calibrated, of that cluster."},
        "p": {**share, "description": "Conformal p value of being in a known cluster."},
        "p_states": {"type": ["number", "null"]},
        "p_surface": {"type": ["number", "null"], "description": "null without texts."},
        "margin": {"type": ["number", "null"]},
        "outside": {"type": "boolean", "description": "p is at most the rate."},
        "nearest": {"type": "array", "items": {"type": "integer"}},
        "request": {"type": "string", "description": "Hash of the text."},
    }
    return _object(
        {
            "atlas": {"type": "string", "description": "Version of the atlas that answered."},
            "rate": share,
            "rows": {"type": "array", "items": _object(row, "request")},
        }
    )
