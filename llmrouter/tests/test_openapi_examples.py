"""The examples of the API's description: each is what its schema says, and the server answers it."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from iafactory.openapi import described

from .talking import Talker, events_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("standin")]

CHATS = ("/api/v2/chat", "/v1/chat/completions")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return described()


def asked(schema: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return found


def answered(schema: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
    return found


def validator(schema: dict[str, Any], part: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**part, "components": schema["components"]})


@pytest.mark.parametrize("path", CHATS)
def test_every_example_of_a_chat_is_answered(pro: Talker, schema: dict[str, Any], path: str) -> None:
    examples = asked(schema, path)["examples"]
    assert len(examples) >= 3
    for name, example in examples.items():
        validator(schema, asked(schema, path)["schema"]).validate(example["value"])
        response = pro.send(path, example["value"])
        assert response.status_code == 200, (name, response.content)
        if example["value"].get("stream"):
            assert events_of(response)[-1] == "[DONE]"
        else:
            validator(schema, answered(schema, path)["schema"]).validate(response.json())


@pytest.mark.parametrize("path", CHATS)
def test_the_example_of_an_answer_is_one(schema: dict[str, Any], path: str) -> None:
    for example in answered(schema, path)["examples"].values():
        validator(schema, answered(schema, path)["schema"]).validate(example["value"])


def test_every_reference_leads_somewhere(schema: dict[str, Any]) -> None:
    for reference in references(schema):
        found = schema
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [reference for inner in part for reference in references(inner)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [reference for inner in part.values() for reference in references(inner)]


def test_whoever_reads_the_page_is_told_what_each_call_does(schema: dict[str, Any]) -> None:
    mine = [path for path in schema["paths"] if path.startswith(("/api/", "/v1/"))]
    nameless = [path for path in mine for call in schema["paths"][path].values() if not call.get("summary")]
    assert nameless == []
