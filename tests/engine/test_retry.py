"""What may pass by itself is tried again, and nothing else."""

import pytest

from reconcile.core.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from reconcile.core.model import Kind, ObjectRef
from reconcile.engine.ports import ApplyOptions
from reconcile.engine.retry import RetryBackoff, RetryingCluster
from reconcile.runtime.backoff import Backoff
from tests.clocks import FakeClock
from tests.engine.fakes import Fault, FlakyCluster, Times, always, never
from tests.engine.installation import EmbeddedInstallation

CONFIG_MAP = Kind("v1", "ConfigMap")
REF = ObjectRef("", "ConfigMap", "team-a", "one")
BODY = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "one", "namespace": "team-a"},
    "data": {"a": "1"},
}
OURS = ApplyOptions("reconcile")
AWAY = UnavailableError("it is away")


def retrying(faults, backoff=RetryBackoff(), jitter=0.5):  # noqa: B008 - a value
    world = EmbeddedInstallation()
    for name in ("one", "two", "three", "four"):
        world.cluster.apply({**BODY, "metadata": {**BODY["metadata"], "name": name}}, OURS)
    clock = FakeClock(jitter=jitter)
    flaky = FlakyCluster(world.cluster, faults)
    return RetryingCluster(flaky, clock, backoff), flaky, clock


REQUESTS = {
    "get": lambda cluster: cluster.get(CONFIG_MAP, "team-a", "one"),
    "apply": lambda cluster: cluster.apply(BODY, OURS),
    "list": lambda cluster: list(cluster.list(CONFIG_MAP, "team-a", {})),
    "metadata": lambda cluster: list(cluster.metadata(CONFIG_MAP, "team-a")),
    "delete": lambda cluster: cluster.delete(CONFIG_MAP, REF, "uid-1"),
}


@pytest.mark.parametrize("verb", REQUESTS)
def test_a_request_is_repeated_until_it_succeeds(verb):
    cluster, flaky, clock = retrying(Times(AWAY, verb, times=3))
    plain, _, _ = retrying(never)
    assert REQUESTS[verb](cluster) == REQUESTS[verb](plain)
    assert [call.verb for call in flaky.log] == [verb] * 4
    assert len(clock.waits) == 3


@pytest.mark.parametrize("verb", REQUESTS)
def test_the_last_error_ends_it_after_the_last_try(verb):
    cluster, flaky, clock = retrying(Times(AWAY, verb, times=always), RetryBackoff(max_attempts=4))
    with pytest.raises(UnavailableError, match="it is away"):
        REQUESTS[verb](cluster)
    assert len(flaky.log) == 4
    assert len(clock.waits) == 3


@pytest.mark.parametrize("verb", REQUESTS)
@pytest.mark.parametrize("error", [ConflictError("c"), NotFoundError("n"), InvalidError("i")])
def test_a_permanent_error_is_not_retried(verb, error):
    cluster, flaky, clock = retrying(Times(error, verb))
    with pytest.raises(type(error)):
        REQUESTS[verb](cluster)
    assert len(flaky.log) == 1
    assert not clock.waits


@pytest.mark.parametrize("verb", ["list", "metadata"])
def test_a_list_that_breaks_yields_no_object_twice(verb):
    cluster, flaky, _ = retrying(Times(AWAY, verb, times=2, late=True))
    names = [obj["metadata"]["name"] for obj in REQUESTS[verb](cluster)]
    assert names == ["four", "one", "three", "two"]
    assert len(flaky.log) == 3


def test_waits_double_up_to_the_longest():
    cluster, _, clock = retrying(
        Times(AWAY, "get", times=6),
        RetryBackoff(max_attempts=7, backoff=Backoff(initial=1, maximum=10)),
        jitter=1.0,
    )
    cluster.get(CONFIG_MAP, "team-a", "one")
    assert clock.waits == [1, 2, 4, 8, 10, 10]


@pytest.mark.parametrize(("wish", "wait"), [(0, 0.5), (0.2, 0.5), (7, 7), (1000, 300)])
def test_the_requested_delay_is_obeyed_up_to_a_limit(wish, wait):
    assert RetryBackoff().delay(1, 1.0, wish) == wait


def test_a_requested_delay_lengthens_the_wait():
    faults = iter([Fault(UnavailableError("busy", retry_after=12)), None])
    cluster, _, clock = retrying(lambda _: next(faults))
    cluster.get(CONFIG_MAP, "team-a", "one")
    assert clock.waits == [12]


def test_what_was_done_although_its_answer_was_lost_is_not_done_twice():
    cluster, flaky, _ = retrying(Times(AWAY, "apply", late=True))
    body = {**BODY, "metadata": {"name": "new", "namespace": "team-a"}}
    live = cluster.apply(body, OURS)
    assert flaky.writes == ["apply ConfigMap new"] * 2
    assert live["metadata"]["uid"] == "uid-5"


def test_a_delete_whose_answer_was_lost_finds_the_object_gone():
    cluster, _, _ = retrying(Times(AWAY, "delete", late=True))
    with pytest.raises(NotFoundError):
        cluster.delete(CONFIG_MAP, REF, "uid-1")
