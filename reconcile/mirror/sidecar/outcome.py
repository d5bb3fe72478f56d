"""Judges the result of a pass: what it lacks, why, and whether another pass may store more."""

from reconcile.mirror.backup.syncer import NoChanges, PassOutcome, PassResult
from reconcile.mirror.model import Partial


def count_unreadable(outcome: PassOutcome) -> int:
    """Return how many files and directories could not be read."""
    read = len(outcome.archive.read_files.unreadable) if isinstance(outcome, PassResult) else 0
    return read + outcome.scan.skipped.unreadable


def find_unreadable_reason(outcome: PassOutcome) -> str:
    """Return the path and the error of one file or directory; empty if all could be read."""
    if isinstance(outcome, PassResult):
        for path, reason in outcome.archive.read_files.unreadable.items():
            return _printable(f"{path}: {reason}")
    return _printable(outcome.scan.skipped.unreadable_reason)


def _printable(text: str) -> str:
    """Escape bytes of file names that are not UTF-8: JSON cannot have them."""
    return text.encode("utf-8", "backslashreplace").decode()


def is_fully_stored(outcome: PassOutcome | None) -> bool:
    """Say whether a final pass has stored everything."""
    match outcome:
        case None:
            return False
        case NoChanges():
            return not count_unreadable(outcome)
        case PassResult():
            return not outcome.archive.missing.files


def may_store_more(outcome: PassOutcome | None) -> bool:
    """Say whether a further final pass may store more than the last one."""
    match outcome:
        case None:
            return True
        case NoChanges():
            return False
        case PassResult(_, archive):
            read = archive.read_files
            has_sent = outcome.sent_bytes > 0 or outcome.is_committed
            return bool(read.changing or archive.is_truncated or (read.out_of_time and has_sent))


def find_missing(outcome: PassOutcome) -> Partial:
    """Return what the last generation lacks."""
    if isinstance(outcome, PassResult):
        return outcome.archive.missing
    return Partial(count_unreadable(outcome), 0)


def explain_missing(outcome: PassOutcome) -> str:
    """Say why a final pass has not stored everything."""
    reasons = []
    if isinstance(outcome, PassResult):
        read = outcome.archive.read_files
        if outcome.archive.is_truncated or read.out_of_time:
            reasons.append("the time was over")
        if read.changing:
            reasons.append("files kept changing while read")
    unreadable = count_unreadable(outcome)
    if unreadable:
        example = find_unreadable_reason(outcome)
        reasons.append(f"{unreadable} files or directories cannot be read, such as {example}")
    return "; ".join(reasons)
