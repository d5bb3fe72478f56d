"""Live pods with a status, for tests of health."""


def container(name="runner", *, ready=False, **state):
    return {"name": name, "ready": ready, "state": state, "restartCount": 0}


def pod(phase=None, *containers, init=(), conditions=(), **status):
    return {
        "metadata": {"name": "x"},
        "status": {
            **({"phase": phase} if phase else {}),
            "containerStatuses": list(containers),
            "initContainerStatuses": list(init),
            "conditions": list(conditions),
            **status,
        },
    }


def waiting(reason, message=""):
    return {"waiting": {"reason": reason, "message": message}}


def ended(code, reason="", message=""):
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}
