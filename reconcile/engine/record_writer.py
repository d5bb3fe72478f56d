"""Collects what a pass learns of one session, and writes it into the status of its Record."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from reconcile.core.changes import Change, FlushTrace, Outcome, Replace, SessionPlan, Status
from reconcile.core.errors import ClusterError
from reconcile.core.lifecycle.pod_status import find_mirror_state
from reconcile.core.mask.masker import Masker
from reconcile.core.model import (
    STATUS_FIELD_MANAGER,
    KubeObject,
    Manifest,
    ObjectRef,
    build_record_ref,
)
from reconcile.core.plan.admission import find_admitted_values
from reconcile.core.plan.live_state import START_FAILURE
from reconcile.core.record import (
    AdmittedValues,
    RecordStatus,
    build_record_status_body,
    count_failed_start,
    describe_pending,
    find_remaining_ends,
    finish_flush,
    next_status,
    seconds_to_back_off,
    see_flush,
)
from reconcile.core.report.results import learn_failed_objects
from reconcile.engine.ports import ApplyOptions, Clock, Cluster

_MAX_REASON: Final = 400
"""Characters of what a mirror said about its last flush; cut once it is masked."""


def has_failed_to_start(change: Change) -> bool:
    """Whether a change replaces a pod whose runner never started."""
    return isinstance(change, Replace) and START_FAILURE in change.fields


@dataclass(slots=True)
class RecordWriter:
    """The Record of one session during a pass.

    `status` is the status in it now, `mask` the policy's names of secrets. `owner_uid` is its UID,
    empty until it is known. `admitted` is what admission made of the objects that were written,
    `flush` what has been seen of the pods' last flushes.
    """

    cluster: Cluster
    clock: Clock
    plan: SessionPlan
    revision: str
    status: RecordStatus
    mask: tuple[str, ...] = ()
    owner_uid: str = ""
    admitted: dict[ObjectRef, AdmittedValues] = field(default_factory=dict)
    flush: FlushTrace = field(init=False)

    def __post_init__(self) -> None:
        self.flush = self.plan.flush

    def learn_owner(self, ref: ObjectRef, uid: str) -> None:
        """Learn the UID of the Record, if this object is it."""
        if ref == build_record_ref(self.plan.session):
            self.owner_uid = uid

    def begin(self, ref: ObjectRef) -> None:
        """Prepare the status with which the Record is created, if this object is it."""
        if ref == build_record_ref(self.plan.session):
            self.status = RecordStatus(self.revision, self.plan.digest)

    def see_flush(self, live: KubeObject) -> None:
        """Follow the last flush of a live pod."""
        mirror = find_mirror_state(live) if live["kind"] == "Pod" else None
        if mirror is not None:
            self.flush = see_flush(self.flush, live["metadata"]["uid"], mirror)

    def learn_admitted(
        self, manifest: Manifest, stored: KubeObject, known: AdmittedValues = MappingProxyType({})
    ) -> None:
        """Learn what admission made of an object, from the answer to its write.

        `known` is what stays true of it: a patch shows only what it has changed.
        """
        self.admitted[manifest.ref] = {**known, **find_admitted_values(manifest, stored)}

    def admitted_values(self, ref: ObjectRef) -> AdmittedValues:
        """Return what admission made of an object, from this pass or an earlier one."""
        known = self.status.admitted_values(ref)
        return self.admitted.get(ref, known)

    def seconds_to_back_off(self) -> float:
        """Return how long the next replacement of a pod that never started has to wait."""
        return seconds_to_back_off(self.status, self.clock.now())

    def write(self, outcomes: Sequence[Outcome]) -> str:
        """Write the status if it says anything new; returns why it could not be written."""
        current = RecordStatus(
            self.revision,
            self.plan.digest,
            describe_pending(outcomes),
            self._failure_messages(outcomes),
            find_remaining_ends(self.plan.ended, outcomes),
            flush=self._finish_flush(outcomes),
            admitted=self._list_admitted_values(),
            **self._count_failed_starts(outcomes),
        )
        status = next_status(self.status, current, outcomes)
        if status is None:
            return ""
        body = build_record_status_body(self.plan.session, self.owner_uid, status)
        try:
            self.cluster.apply(body, ApplyOptions(STATUS_FIELD_MANAGER, force=True))
        except ClusterError as error:
            return f"{self.plan.session}: the Record could not be updated: {error}"
        return ""

    def _list_admitted_values(self) -> dict[str, AdmittedValues]:
        refs = (change.ref for change in self.plan.changes)
        return {str(ref): values for ref in refs if (values := self.admitted_values(ref))}

    def _finish_flush(self, outcomes: Iterable[Outcome]) -> FlushTrace:
        """Return the trace for the Record; the mirror's words may quote names of files."""
        trace = finish_flush(self.flush, outcomes, self.clock.now())
        if trace.unflushed is None:
            return trace
        reason = Masker(self.mask).mask_text(trace.unflushed.reason)[:_MAX_REASON]
        return replace(trace, unflushed=replace(trace.unflushed, reason=reason))

    def _count_failed_starts(self, outcomes: Iterable[Outcome]) -> dict[str, Any]:
        retried = [
            outcome
            for outcome in outcomes
            if outcome.status is Status.REPLACED and has_failed_to_start(outcome.change)
        ]
        previous = self.status
        if not retried:
            return {
                "failed_starts": previous.failed_starts,
                "failed_start_time": previous.failed_start_time,
            }
        now = self.clock.now()
        return {"failed_starts": count_failed_start(previous, now), "failed_start_time": now}

    def _failure_messages(self, outcomes: Iterable[Outcome]) -> tuple[str, ...]:
        """Word failures for the Record, without secrets: a server quotes what it refuses."""
        failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
        masker = Masker(self.mask)
        learn_failed_objects(failed, masker)
        return tuple(masker.mask_text(outcome.message) for outcome in failed)
