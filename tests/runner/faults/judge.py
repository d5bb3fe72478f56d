"""What must be true of the generations and of a pod, after a program of the pod was killed.

Each prompt contains its name, and so does all work of it: the names and contents of files, the
conversation, and the events of its run.
"""

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from reconcile.mirror.concurrency import WorkerPool
from reconcile.mirror.head import read_head
from reconcile.mirror.history.generations import read_generation_index
from reconcile.mirror.history.restore import restore_to_directory
from reconcile.runner.inputs import Inputs
from reconcile.runner.prompt import CONTINUE_MESSAGE
from reconcile.runtime.clock import SystemClock
from tests.runner.faults.pods import SessionPod, SessionStore

MARK = ".session/prompt.json"
_NAME = re.compile(rb"prompt-\d{5}")
_ENDED = {"finished", "failed"}


def name_of(number: int) -> str:
    """Return the name of a prompt, which no other one begins or ends with."""
    return f"prompt-{number:05}"


def digest_of(prompt: str) -> str:
    """Return what a mark says of a prompt."""
    return Inputs(prompt=prompt).prompt_digest


def find_work(root: Path) -> set[str]:
    """Return the names of all prompts of which a workspace has work."""
    found: set[bytes] = set()
    for path in root.rglob("*"):
        relative = path.relative_to(root)
        if not str(relative).startswith(MARK):
            found.update(_NAME.findall(bytes(relative)))
            found.update(_NAME.findall(path.read_bytes()) if path.is_file() else ())
    return {each.decode() for each in found}


def read_marked(root: Path, digests: Mapping[str, str]) -> set[str]:
    """Return the names of the prompts that a workspace has marks of; `digests` has their names."""
    path = root / MARK
    marks = orjson.loads(path.read_bytes())["prompts"] if path.exists() else []
    return {digests[each["digest"]] for each in marks}


class Generations:
    """Judges each generation of a store once.

    Attributes:
        judged: How many.
        with_work: How many of these have work of any prompt.
    """

    def __init__(self, store: SessionStore) -> None:
        self._store = store.open()
        self._last = 0
        self.judged = 0
        self.with_work = 0

    def judge(self, digests: Mapping[str, str]) -> None:
        """Restore each new generation, and compare its work with its marks."""
        if read_head(self._store) is None:
            return  # The first pod was killed before it has claimed the workspace.
        generations = read_generation_index(self._store).generations()
        for number in sorted(each for each in generations if each > self._last):
            folder = Path(tempfile.mkdtemp(prefix="generation-"))
            pool = WorkerPool(4, "fetch")
            try:
                target = folder / "restored"
                restore_to_directory(self._store, generations[number], target, pool, SystemClock())
                self._judge_one(number, target, digests)
            finally:
                shutil.rmtree(folder)
            self._last = number

    def _judge_one(self, number: int, root: Path, digests: Mapping[str, str]) -> None:
        work = find_work(root)
        without = work - read_marked(root, digests)
        assert not without, f"generation {number} has work of {without} without a mark"
        self.judged += 1
        self.with_work += bool(work)


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a pod that has ended.

    Attributes:
        prompts: The texts that were declared while it was there, in order, by name.
        policy: `Wait` or `Continue`.
        is_settled: Whether it had done all that it had to do.
        has_changed: Whether the prompt changed while it was running.
        bridges: How often its bridge was started.
    """

    prompts: Mapping[str, str]
    policy: str
    is_settled: bool
    has_changed: bool
    bridges: int


def judge_pod(pod: SessionPod, expected: Expected) -> None:
    """Compare what a pod found, what its runner was asked for, and its last marks."""
    before = {each["digest"]: each for each in pod.restored}
    after = {each["digest"]: each for each in pod.marks}
    runs = pod.count_runs()
    _judge_preparation(pod)
    _judge_deliveries(runs, expected, before, after)
    _judge_continued(runs[CONTINUE_MESSAGE], expected, pod.restored)
    for digest, mark in before.items():
        _judge_mark(mark, after[digest], expected, pod.uid)
    if expected.is_settled:
        assert all(each["run"] != "open" for each in after.values())


def _judge_preparation(pod: SessionPod) -> None:
    """`prepare` says that a run was cut off exactly if the last mark has none that ended."""
    is_cut = is_cut_off(pod.restored)
    if pod.programs.get("prepare") and pod.preparation.get("interruptedRun", False) != is_cut:
        # A pod that was killed meanwhile has no message.
        assert "bridge" not in pod.programs, "prepare does not say what the last mark says"


def is_cut_off(marks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last run of some marks has not ended."""
    return bool(marks) and marks[-1]["run"] not in _ENDED


def _judge_deliveries(
    runs: Counter[str], expected: Expected, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Each prompt runs once, and never in a pod that was restored with its mark."""
    assert set(runs) <= {*expected.prompts.values(), CONTINUE_MESSAGE}
    for name, text in expected.prompts.items():
        digest = digest_of(text)
        most = 0 if digest in before else 1
        assert runs[text] <= most, f"{name} ran {runs[text]} times, instead of {most} at most"
        assert not runs[text] or digest in after, f"{name} has run and has no mark"
    if expected.is_settled and expected.prompts:
        name, text = list(expected.prompts.items())[-1]
        assert digest_of(text) in after, f"{name} was not delivered"
        is_due = digest_of(text) not in before and expected.bridges == 1
        assert not is_due or runs[text] == 1, f"{name} has a mark and was not delivered"


def _judge_continued(count: int, expected: Expected, restored: Sequence[Mapping[str, Any]]) -> None:
    """A run that was cut off is continued by one message, unless another prompt follows it."""
    if expected.policy == "Wait":
        assert count == 0, f"{count} messages were sent after a run that was cut off"
        return
    assert count <= expected.bridges, f"{count} messages continue a run"
    if expected.is_settled and not expected.has_changed and expected.bridges == 1:
        known = {each["digest"] for each in restored}
        is_due = any(digest_of(each) not in known for each in expected.prompts.values())
        wanted = int(is_cut_off(restored) and not is_due)
        assert count == wanted, f"{count} messages continue a run, instead of {wanted}"


def _judge_mark(
    before: Mapping[str, Any], after: Mapping[str, Any], expected: Expected, uid: str
) -> None:
    """A run that was cut off is interrupted, or was continued in this pod."""
    if before["run"] in _ENDED:
        assert after["run"] == before["run"]
        return
    is_continued = after.get("continued", False) and after["podUid"] == uid
    assert not is_continued or expected.policy == "Continue"
    allowed = {"interrupted", before["run"]}
    assert is_continued or after["run"] in allowed, f"a run that was cut off is {after['run']}"
