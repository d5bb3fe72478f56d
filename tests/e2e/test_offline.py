"""The digest that a pull request shows is that of the plan after its merge, on a real server."""

from collections.abc import Callable

import pytest

from reconcile.cli import diff as diff_command
from reconcile.cli.main import run_reconcile_cli
from reconcile.core.report.view import PlanReport
from tests.adapters.sources.repositories import Repository
from tests.e2e.site import IMAGE, Site

pytestmark = pytest.mark.cluster

EXTRAS = """
apiVersion: v1
kind: Service
metadata: {{name: "{{{{ session.name }}}}-extra"}}
spec:
  selector: {{app: x}}
  ports: [{{port: 80{port}}}]{service}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: "{{{{ session.name }}}}-extra"}}
spec:
  automountServiceAccountToken: false
  containers: [{{name: c, image: "x:1"{container}}}]{pod}
"""
DEFAULTS = {
    "port": ", protocol: TCP, targetPort: 80",
    "service": "\n  type: ClusterIP\n  sessionAffinity: None",
    "container": ", imagePullPolicy: IfNotPresent, terminationMessagePolicy: File, resources: {}",
    "pod": "\n  restartPolicy: Always\n  dnsPolicy: ClusterFirst\n  serviceAccountName: default",
}
NOTHING = dict.fromkeys(DEFAULTS, "")


def templates(site: Site, values: dict[str, str]) -> None:
    site.template("extra-service", EXTRAS.format(**values))
    site.template("extra-pod", POD.format(**values))


def edit(site: Site) -> None:
    site.session("one", initialPrompt="other work")


def image(site: Site) -> None:
    site.session("one", runner={"image": f"{IMAGE}0"})


def port(site: Site) -> None:
    site.session("one", runner={"port": 9000})


def bounds(site: Site) -> None:
    site.session("one", maxDuration="1h", runner={"tolerations": [{"operator": "Exists"}]})


def stop(site: Site) -> None:
    site.session("one", state="Stopped")


def add_and_remove(site: Site) -> None:
    site.session("three")
    site.forget("two")


def break_one(site: Site) -> None:
    site.session("one", typo=1)
    site.forget("two")


def settings(site: Site) -> None:
    site.policy(allowRestarts=[f"{site.namespace}/one"])
    site.defaults(timeout=60)


def installation(site: Site) -> None:
    site.policy(installation="other")


def written_defaults(site: Site) -> None:
    templates(site, DEFAULTS)


def fewer_templates(site: Site) -> None:
    (site.templates / "extra-pod.yaml.j2").unlink()


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[PlanReport]:
    shown: list[PlanReport] = []
    monkeypatch.setattr(diff_command, "show_plan", lambda report, _: shown.append(report))
    return shown


def against(site: Site) -> int:
    """Run the offline diff; it gets no kubeconfig."""
    arguments = ["--templates", str(site.templates)]
    return run_reconcile_cli(["diff", str(site.tree), "--against", "HEAD~1", *arguments])


@pytest.mark.parametrize(
    "commit",
    [
        edit,
        image,
        port,
        bounds,
        stop,
        add_and_remove,
        break_one,
        settings,
        installation,
        written_defaults,
        fewer_templates,
    ],
)
def test_the_digest_of_a_commit_is_that_of_its_plan(
    site: Site, reports: list[PlanReport], commit: Callable[[Site], None]
) -> None:
    repository = Repository(site.tree.parent)
    templates(site, NOTHING)
    site.session("one")
    site.session("two")
    repository.commit()
    site.apply()
    commit(site)
    repository.commit()
    offline = against(site)
    online = site.diff(expect=offline)
    assert len(reports) == 2, str(online)
    assert bool(reports[0].plan.changes) is (commit is not written_defaults)
    assert reports[0].digest == reports[1].digest
    site.apply("--plan-digest", "sha256:" + "0" * 64, expect=3 if commit is break_one else 6)
    mark = site.plane.audit().mark()
    site.run("apply", "--plan-digest", reports[0].digest)
    assert site.writes(mark) or commit in {written_defaults, break_one, installation}
