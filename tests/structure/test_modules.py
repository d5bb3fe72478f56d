"""No module is too long to read at once, and no two modules need each other."""

from graphlib import TopologicalSorter

import grimp
import pytest

from docs.modules import modules

LIMIT = 450


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("reconcile", exclude_type_checking_imports=True, cache_dir=None)


def test_no_module_is_longer_than_the_limit(graph):
    assert [module for module in modules(graph) if module.lines > LIMIT] == []


def test_modules_import_each_other_in_one_direction(graph):
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    TopologicalSorter(imports).prepare()
