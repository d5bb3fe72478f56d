"""The rights of `deploy/` suffice, those of a reader suffice to read, a missing one is named."""

import json
from pathlib import Path

import pytest

from reconcile.cli.exit_codes import ExitCode
from tests.controlplane.access import ControlPlane
from tests.e2e import site as sites
from tests.e2e.site import READER, Site

pytestmark = pytest.mark.cluster


@pytest.fixture
def reader(site: Site) -> Path:
    return site.plane.service_account_kubeconfig(site.namespace, READER)


def test_a_diff_needs_no_more_than_the_rights_of_a_reader(site: Site, reader: Path) -> None:
    site.session("one")
    mark = site.plane.audit().mark()
    before = site.run("diff", kubeconfig=reader)
    assert before.code == ExitCode.CHANGES, str(before)
    site.apply()
    site.session("one", displayName="Renamed")
    changed = site.run("diff", "-o", "json", kubeconfig=reader)
    assert changed.code == ExitCode.CHANGES, str(changed)
    site.apply()
    assert site.run("diff", kubeconfig=reader).code == ExitCode.OK
    asked = site.plane.audit().since(mark, user=site.user.replace(":reconcile", f":{READER}"))
    assert {event.verb for event in asked} <= {"get", "list"}
    assert {event.code for event in asked} == {200}


def test_a_reader_can_look_at_the_status(site: Site, reader: Path) -> None:
    site.session("one")
    site.apply()
    site.start_pod("one-runner")
    status = site.run("status", "-o", "json", kubeconfig=reader)
    assert status.code == ExitCode.OK, str(status)
    [session] = json.loads(status.out)["sessions"]
    assert (session["name"], session["phase"]) == ("one", "Running")


def test_a_reader_cannot_apply_and_is_told_which_right_is_missing(site: Site, reader: Path) -> None:
    site.session("one")
    ended = site.run("apply", kubeconfig=reader)
    assert ended.code == ExitCode.PARTIAL, str(ended)
    assert "cannot patch resource" in str(ended)
    assert site.everything() == {}


def test_a_kind_without_rights_is_named_with_the_right_that_is_missing(site: Site) -> None:
    site.template("deployment", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: one-x}\n")
    site.session("one")
    ended = site.apply(expect=ExitCode.UNREACHABLE)
    assert "Deployment could not be read" in ended.err
    assert "grant `list` on Deployment" in ended.err
    assert site.everything() == {}


def test_a_namespace_without_rights_is_named_and_the_others_are_reconciled(site: Site) -> None:
    foreign = site.plane.fresh_namespace("e2e")
    site.session("one")
    site.session("two", folder=foreign)
    ended = site.apply(expect=ExitCode.UNREACHABLE)
    assert f"{foreign}: ConfigMap could not be read" in ended.err
    assert len(site.ours()) == 7
    assert site.everything(foreign) == {}
    assert site.run("diff").code == ExitCode.UNREACHABLE


def test_a_namespace_that_is_not_there_is_named_and_the_others_are_reconciled(site: Site) -> None:
    gone = f"{site.namespace}-gone"
    site.session("one")
    site.session("two", folder=gone)
    ended = site.apply(expect=ExitCode.UNREACHABLE)
    assert gone in ended.err
    assert len(site.ours()) == 7


def test_credentials_that_are_not_accepted_are_named(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    site = sites.make(control_plane, tmp_path)
    content = json.loads(site.kubeconfig.read_text())
    content["users"][0]["user"]["token"] = "wrong"
    kubeconfig = tmp_path / "wrong"
    kubeconfig.write_text(json.dumps(content))
    site.session("one")
    ended = site.run("apply", kubeconfig=kubeconfig)
    assert ended.code == ExitCode.UNREACHABLE
    assert "401" in ended.err
