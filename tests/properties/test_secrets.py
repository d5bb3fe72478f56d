"""No secret shows, whatever a pass does."""

import base64
import contextlib

from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.errors import (
    ClusterError,
    InvalidError,
    Problem,
)
from reconcile.core.mask.masker import Masker
from reconcile.core.render.filters import toyaml
from reconcile.core.report.escape import TextOptions
from reconcile.core.report.json_output import outcomes_json, status_json, to_json
from reconcile.core.report.problems import Findings, format_problems
from reconcile.core.report.results import format_finished_outcomes
from reconcile.core.report.status import format_status
from reconcile.engine.reconciler import ReconcilerOptions
from reconcile.engine.status import read_status
from tests.core.report.formats import every_form
from tests.core.report.sample_plans import report
from tests.engine.fakes import Times, never
from tests.engine.installation import EmbeddedInstallation
from tests.properties.session_specs import file_of, free, passes
from tests.session_files import GENEROUS, SHIPPED, policy_text

SECRET_NAMES = st.sampled_from(["API_TOKEN", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "X_DSN"])
CANARIES = st.text("abcdefghjkmnpqrstuvwxyz0123456789+/=-", min_size=9, max_size=40).map(
    "c4n{}".format
)
SECRETS = st.dictionaries(SECRET_NAMES, CANARIES, min_size=1)
KEY = """\
apiVersion: v1
kind: Secret
metadata: {name: "{{ session.name }}-key"}
stringData: {{ session.spec.environmentVariables | tojson }}
"""


def outputs(world, passed):
    """All that the program could show of a pass."""
    masker = Masker(passed.planned.desired.policy.mask)
    findings = Findings(passed.planned.desired.problems, passed.planned.desired.warnings)
    yield from every_form(report(passed.plan, findings), masker)
    yield format_finished_outcomes(passed.outcomes, masker, TextOptions(verbose=True))
    yield to_json(outcomes_json(passed.plan, passed.outcomes, findings, masker))
    read = read_status(world.cluster, world.clock, passed.planned.desired, ["team-a"])
    yield format_status(read.rows, masker, TextOptions(verbose=True))
    yield to_json(status_json("default", read.rows, Findings(read.problems), masker))
    for wanted in passed.planned.desired.sessions:
        yield from (toyaml(masker.mask_object(manifest.body)) for manifest in wanted.manifests)
    problems = tuple(Problem("", 0, 0, "", failure) for failure in passed.failures)
    yield format_problems(Findings(problems), masker)


@passes
@given(SECRETS, SECRETS, SECRETS, st.sampled_from(["Pod", "Secret"]))
def test_no_secret_shows_in_any_output(before, drifted, after, kind):
    world = EmbeddedInstallation(
        templates={**SHIPPED, "key.yaml.j2": KEY}, options=ReconcilerOptions(concurrency=1)
    )
    world.files["policy.yaml"] = policy_text(GENEROUS, 'mask: ["*_DSN"]')
    canaries = {*before.values(), *drifted.values(), *after.values()}
    shown = []
    for secrets in (before, after):
        spec = free({"environmentVariables": secrets})
        world.files["team-a/ada.yaml"] = file_of("ada", spec)
        quoted = InvalidError(f"{kind} is invalid: spec: {secrets} {spec}", ("spec",))
        for fault in (Times(quoted, "apply", kind), never):
            with contextlib.suppress(ClusterError):
                shown += outputs(world, world.apply(fault, revision=f"r{len(shown)}"))
        encoded = {name: base64.b64encode(v.encode()).decode() for name, v in drifted.items()}
        canaries |= set(encoded.values())
        write = {"op": "replace", "path": "/data", "value": encoded}
        world.edit("Secret", "ada-key", write)
    for text in shown:
        assert not [canary for canary in canaries if canary in text]
