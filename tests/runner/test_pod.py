"""What belongs to one pod; the termination message stays within its bounds, the first is kept."""

import orjson

from reconcile.runner.pod import MAX_BYTES, encode_message, has_run, record_run, write_message


def test_a_short_message_is_complete():
    assert orjson.loads(encode_message({"a": 1, "b": ["x"]})) == {"a": 1, "b": ["x"]}


def test_a_list_is_cut_where_it_does_not_fit():
    data = encode_message({"a": 1, "items": [{"name": f"{n}" * 50} for n in range(100)], "z": 1})
    message = orjson.loads(data)
    assert len(data) <= MAX_BYTES
    assert (message["a"], message["truncated"]) == (1, True)
    assert message["items"][0] == {"name": "0" * 50}
    assert 10 < len(message["items"]) < 100
    assert "z" not in message


def test_a_text_that_does_not_fit_is_left_out():
    assert orjson.loads(encode_message({"a": 1, "text": "x" * 3000})) == {"a": 1, "truncated": True}


def test_a_path_that_cannot_be_written_is_no_error(tmp_path):
    write_message(tmp_path / "absent/log", {"a": 1})
    write_message(tmp_path / "log", {"a": 1})
    assert (tmp_path / "log").read_bytes() == b'{"a":1}'


def test_a_run_is_remembered_for_its_pod_alone(tmp_path):
    assert not has_run(tmp_path, "pod-1")
    record_run(tmp_path, "pod-1")
    assert has_run(tmp_path, "pod-1")
    assert not has_run(tmp_path, "pod-2")
    record_run(tmp_path / "absent", "pod-1")
    assert not has_run(tmp_path / "absent", "pod-1")
