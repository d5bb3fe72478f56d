"""What a prompt makes the agent do, in the double and, by the double of the model, in the real one.

A prompt that begins with one of these is a command; every other prompt is answered with its text:

    write FILE TEXT    write a file in the working directory
    sleep SECONDS      answer after that time
    silent             never answer
    error              the model refuses the request: the run ends with an error
    unauthorized       the model refuses the key: the same after minutes of repetitions
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Say:
    """Answer with the text."""

    text: str


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file; the path is relative to the working directory."""

    file: str
    text: str


@dataclass(frozen=True, slots=True)
class Sleep:
    """Answer after some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Silent:
    """Never answer."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The model refuses the request."""


@dataclass(frozen=True, slots=True)
class RefuseKey:
    """The model refuses the key."""


Command = Say | Write | Sleep | Silent | Refuse | RefuseKey


def parse(prompt: str) -> Command:
    """Parse a prompt."""
    match prompt.split(" ", 2):
        case ["write", file, text]:
            return Write(file, text)
        case ["sleep", seconds] if seconds.replace(".", "", 1).isdigit():
            return Sleep(float(seconds))
        case ["silent"]:
            return Silent()
        case ["error"]:
            return Refuse()
        case ["unauthorized"]:
            return RefuseKey()
        case _:
            return Say(prompt)


def answer(turn: int, prompt: str) -> str:
    """Return the answer: the number of prompts that the conversation has, and the last one."""
    return f"Turn {turn}: {prompt}"
