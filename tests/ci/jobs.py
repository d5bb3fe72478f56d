"""A job of a pull request, with the output of programs that a test sets."""

from reconcile.ci.commands import RevisionComparison
from reconcile.ci.environment import TOKEN_VARIABLE
from reconcile.ci.forge import JobContext, ProcessResult
from reconcile.ci.output import COMMENT_LIMIT, JobOutput
from reconcile.ci.review import FailOn, Review, ReviewOptions
from tests.ci.forges import WRITER
from tests.ci.repositories import ENVIRON

BASE = "b" * 40
DIGEST = f"sha256:{'a' * 64}"
CHANGES = ProcessResult(1, f"### changes\n\nPlan digest: `{DIGEST}`\n", "")
FINE = ProcessResult(0, "", "2 sessions can be used.")


class Programs:
    """Replaces the program `reconcile`, and records the calls."""

    def __init__(self, validated=FINE, diffed=CHANGES):
        self.ends = {"validate": validated, "diff": diffed}
        self.calls = []

    def __call__(self, command, environ, folder):
        self.calls.append((list(command), dict(environ), folder))
        return self.ends[command[4]]

    def asked(self, name):
        return next(command[5:] for command, _, _ in self.calls if command[4] == name)


class Scene:
    """One review in one job, and all that it leaves."""

    def __init__(self, folder, clock):
        self.folder = folder
        self.clock = clock
        self.said = []
        self.environ = {
            **ENVIRON,
            TOKEN_VARIABLE: WRITER,
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        }
        self.asked = {"against": RevisionComparison(BASE), "comment": True, "fail_on": FailOn.ERROR}

    def review(self, programs, job, **asked):
        around = JobContext(self.environ, self.folder, programs)
        outlets = JobOutput(job.forge, self.environ, self.said.append, lambda text: text)
        defaults = {"folder": "desired", "templates": "", "limit": COMMENT_LIMIT, "report": ""}
        whole = ReviewOptions(**{**defaults, **self.asked, **asked})
        return Review(whole, job, around, outlets).run(self.clock)

    @property
    def outputs(self):
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def summary(self):
        return (self.folder / "summary").read_text()

    @property
    def log(self):
        return "\n".join(self.said)
