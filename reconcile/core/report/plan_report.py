"""A plan with all that its readers are told beside it: against what it stands, what is wrong."""

from dataclasses import dataclass
from typing import TypeAlias

from reconcile.core.changes import Plan
from reconcile.core.plan.dry_run import Admission
from reconcile.core.report.problems import Findings


@dataclass(frozen=True, slots=True)
class LiveCluster:
    """The plan turns what lives in a cluster into desired state."""


@dataclass(frozen=True, slots=True)
class OtherRevision:
    """The plan turns what another revision asks for into desired state; no cluster was looked at.

    `name` is what the user called it (`HEAD~1`), `revision` the commit that this is.
    """

    name: str
    revision: str


Against: TypeAlias = LiveCluster | OtherRevision


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What every form of a diff is made from.

    `folder` is where the session files are, relative to the top of their repository where that is
    known and as the user named it elsewhere: with it, the path of a problem leads to a file.
    `admission` is what the server says of each object that is wanted; empty where it was not asked.
    """

    plan: Plan
    digest: str
    findings: Findings
    against: Against
    folder: str
    admission: tuple[Admission, ...] = ()
