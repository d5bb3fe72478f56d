"""Compares what the runner has with the inputs as they are now: which steps lead from one to other.

Nothing is done here. A repository whose URL has changed is removed first; the next plan adds it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias, assert_never

import orjson

from reconcile.runner.inputs import Inputs, Repository, Workflow


@dataclass(frozen=True, slots=True)
class Applied:
    """What the runner has: the inputs that it was started with, and all changes since."""

    repositories: tuple[Repository, ...] = ()
    workflow: Workflow | None = None
    model: str = ""
    prompt_digest: str = ""


@dataclass(frozen=True, slots=True)
class RemoveRepository:
    """A repository is no longer declared, or (`is_replaced`) has another URL now."""

    repository: Repository
    is_replaced: bool = False


@dataclass(frozen=True, slots=True)
class AddRepository:
    """A repository is declared."""

    repository: Repository


@dataclass(frozen=True, slots=True)
class SwitchBranch:
    """Another branch of a repository is declared."""

    repository: Repository


@dataclass(frozen=True, slots=True)
class SetWorkflow:
    """Another workflow is declared, or none."""

    workflow: Workflow | None


@dataclass(frozen=True, slots=True)
class SetModel:
    """Another model is declared; empty for the runner's own default."""

    model: str


@dataclass(frozen=True, slots=True)
class DeliverPrompt:
    """Another prompt is declared; empty for none."""

    digest: str


Step: TypeAlias = (
    RemoveRepository | AddRepository | SwitchBranch | SetWorkflow | SetModel | DeliverPrompt
)


def describe_step(step: Step) -> tuple[str, str]:
    """Return kind and name of what a step changes."""
    match step:
        case RemoveRepository(repository) | AddRepository(repository) | SwitchBranch(repository):
            return "repository", repository.name
        case SetWorkflow(workflow):
            return "workflow", workflow.name if workflow else ""
        case SetModel(model):
            return "model", model
        case DeliverPrompt():
            return "prompt", ""
        case _:
            assert_never(step)


def applied_from(inputs: Inputs) -> Applied:
    """Return what a runner has that was started with these inputs."""
    return Applied(inputs.repositories, inputs.workflow, inputs.model, inputs.prompt_digest)


def plan_steps(applied: Applied, inputs: Inputs) -> tuple[Step, ...]:
    """Return the steps in the order in which they are done; the prompt is the last."""
    steps: list[Step] = list(_plan_repositories(applied, inputs))
    if applied.workflow != inputs.workflow:
        steps.append(SetWorkflow(inputs.workflow))
    if applied.model != inputs.model:
        steps.append(SetModel(inputs.model))
    if applied.prompt_digest != inputs.prompt_digest:
        steps.append(DeliverPrompt(inputs.prompt_digest))
    return tuple(steps)


def _plan_repositories(applied: Applied, inputs: Inputs) -> Iterator[Step]:
    wanted = {each.name: each for each in inputs.repositories}
    present = {each.name: each for each in applied.repositories}
    for name, repository in present.items():
        if name not in wanted or wanted[name].url != repository.url:
            yield RemoveRepository(repository, name in wanted)
    for name, repository in wanted.items():
        before = present.get(name)
        if before is None:
            yield AddRepository(repository)
        elif before.url == repository.url and before.branch != repository.branch:
            yield SwitchBranch(repository)


def record_step(applied: Applied, step: Step) -> Applied:
    """Return what the runner has after a step."""
    match step:
        case RemoveRepository(repository):
            return replace(applied, repositories=_without(applied, repository.name))
        case AddRepository(repository) | SwitchBranch(repository):
            others = _without(applied, repository.name)
            return replace(applied, repositories=(*others, repository))
        case SetWorkflow(workflow):
            return replace(applied, workflow=workflow)
        case SetModel(model):
            return replace(applied, model=model)
        case DeliverPrompt(digest):
            return replace(applied, prompt_digest=digest)
        case _:
            assert_never(step)


def _without(applied: Applied, name: str) -> tuple[Repository, ...]:
    return tuple(each for each in applied.repositories if each.name != name)


def encode_applied(applied: Applied, pod_uid: str) -> bytes:
    """Encode what this pod's runner has."""
    return orjson.dumps({"version": 1, "podUid": pod_uid, **asdict(applied)})


def parse_applied(data: bytes, pod_uid: str) -> Applied | None:
    """Parse what this pod's runner has; None if the data is not of this pod, or damaged."""
    try:
        fields: Any = orjson.loads(data)
        if fields["podUid"] != pod_uid:
            return None
        return _parse_fields(fields)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _parse_fields(fields: Mapping[str, Any]) -> Applied:
    workflow = fields["workflow"]
    return Applied(
        tuple(Repository(**each) for each in fields["repositories"]),
        Workflow(**workflow) if workflow else None,
        fields["model"],
        fields["prompt_digest"],
    )
