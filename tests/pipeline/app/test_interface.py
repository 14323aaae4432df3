"""Whatever the description of the interface allows, and what it does not: no answer is a 500."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.app.web.security import Rate
from tests import requirements
from tests.pipeline.app.conftest import PORT, TOKEN, judge

requirements.module("schemathesis")

import schemathesis  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    response_schema_conformance,
    status_code_conformance,
)

EXAMPLES = 25
"""Requests for each address."""


@pytest.fixture
def described(guarded, judged):
    """The interface with a case that has a verdict, one that is hidden, and one that waits."""
    judged()
    judged(content=b"second" * 50, blind=True)
    schema = schemathesis.openapi.from_dict(guarded._app.openapi())
    schema.app = guarded
    return schema


@pytest.mark.slow
def test_no_request_breaks_the_server(described, context, guarded, monkeypatch):
    monkeypatch.setattr(guarded, "_rate", Rate(1e9, 1e9))
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": f"127.0.0.1:{PORT}"}
    asked: Counter[str] = Counter()
    known = context.cases.find().cases
    ids = [one.id for one in known] + [one.run.id for one in known]

    operations = list(described.get_all_operations())
    for found in operations:
        operation = found.ok()  # bound by `ask`, which is called before the next

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(data=st.data())
        def ask(data):
            mode = data.draw(st.sampled_from(GenerationMode))
            case = data.draw(operation.as_strategy(generation_mode=mode))  # noqa: B023
            for name in ("case", "run"):  # a random id is never one that is there
                if name in (case.path_parameters or {}) and data.draw(st.booleans()):
                    case.path_parameters[name] = data.draw(st.sampled_from(ids))
            answer = case.call(headers=headers, base_url=f"http://127.0.0.1:{PORT}")
            asked[operation.label] += 1  # noqa: B023
            assert answer.status_code < 500 or answer.status_code == 507, answer.content
            if mode is GenerationMode.POSITIVE:
                checks = [response_schema_conformance, status_code_conformance]
                case.validate_response(answer, checks=checks)
            while (run := context.runs.take()) is not None:
                judge(context, run.id)

        ask()
    assert len(asked) == len(operations) >= 15
