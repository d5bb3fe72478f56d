"""What a prompt makes the agent do, in the double and, by the double of the model, in the real one.

A prompt that begins with one of these is a command; every other prompt is answered with its text:

    write FILE TEXT      write a file in the working directory
    sleep SECONDS        answer after that time
    work NAME N SECONDS  write N files, each that time after the one before; in the double alone
    silent               never answer
    error                the model refuses the request: the run ends with an error
    unauthorized         the model refuses the key: the same after minutes of repetitions
"""

import re
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
class Work:
    """Write so many files, `NAME-1` first, and wait that many seconds before each."""

    name: str
    files: int
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


Command = Say | Write | Sleep | Work | Silent | Refuse | RefuseKey


_WORDS: dict[str, Command] = {
    "silent": Silent(),
    "error": Refuse(),
    "unauthorized": RefuseKey(),
}


def parse(prompt: str) -> Command:
    """Parse a prompt."""
    match prompt.split(" ", 2):
        case ["write", file, text]:
            return Write(file, text)
        case ["sleep", seconds] if seconds.replace(".", "", 1).isdigit():
            return Sleep(float(seconds))
        case ["work", name, rest] if re.fullmatch(r"[0-9]+ [0-9.]+", rest):
            files, seconds = rest.split()
            return Work(name, int(files), float(seconds))
        case [word] if word in _WORDS:
            return _WORDS[word]
        case _:
            return Say(prompt)


def answer(turn: int, prompt: str) -> str:
    """Return the answer: the number of prompts that the conversation has, and the last one."""
    return f"Turn {turn}: {prompt}"
