"""How a run ends."""

from tests.runner.pods import SESSION


def test_a_refusal_of_the_model_is_an_error_of_the_result(pod):
    run = pod.client.run("error")
    assert run.types[-1] == "RUN_FINISHED"
    assert run.result["is_error"] is True
    assert pod.client.run("Hello.").result["is_error"] is False


def test_a_key_that_the_model_refuses_is_silent_for_minutes_and_then_the_same(pod, model):
    model.refuses = True
    run = pod.client.start("unauthorized")
    run.wait_for("RUN_STARTED")
    run.wait(timeout_s=300)
    assert run.types[-1] == "RUN_FINISHED"
    assert run.result["is_error"] is True


def test_an_interrupt_ends_the_run_with_an_error_of_the_result(pod):
    run = pod.client.start("silent")
    run.wait_for("RUN_STARTED")
    answer = pod.client.interrupt()
    assert (answer.status_code, answer.json()) == (200, {"message": "Interrupt signal sent"})
    pod.client.interrupt_until_end(run)
    assert run.types[-1] == "RUN_FINISHED"
    assert run.result["is_error"] is True
    assert pod.client.run("And now?").text == "Turn 2: And now?"


def test_there_is_nothing_to_interrupt_before_the_first_run_or_in_another_thread(pod):
    assert pod.client.interrupt().status_code == 500
    pod.client.run("Hello.")
    assert pod.client.interrupt("another").status_code == 500
    assert pod.client.interrupt(SESSION).status_code == 200


def test_a_change_cuts_the_open_run_off(pod):
    """It finishes without a result, and an error may come after that."""
    run = pod.client.start("silent")
    run.wait_for("RUN_STARTED")
    assert pod.client.post("/repos/remove", {"name": "absent"}).is_success
    run.wait()
    assert "RUN_FINISHED" in run.types
    assert run.result is None
    assert pod.client.run("And now?").text == "Turn 2: And now?"


def test_after_a_change_there_is_nothing_to_interrupt(pod):
    pod.client.run("Hello.")
    pod.client.post("/repos/remove", {"name": "absent"})
    assert pod.client.interrupt().status_code == 500
