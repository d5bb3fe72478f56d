"""The double of the agent's own program: one conversation, one turn after the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.runner import commands
from tests.runner.double import conversation
from tests.runner.double.conversation import Conversations

START_S = 0.2
ID_BEFORE_CONVERSATION_S = 0.08


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of a turn."""

    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class CutOff:
    """The turn was ended from outside, without an answer."""


Outcome = Answer | CutOff


@dataclass(slots=True)
class _Turn:
    prompt: str
    outcome: asyncio.Future[Outcome]


@dataclass(slots=True)
class Worker:
    """Works on the prompts of one thread in the order of their arrival.

    A reader that hangs up does not end its turn. An interrupt is lost while it starts.
    `is_lost` says that there is no conversation to resume: the turn hangs for ever.
    """

    thread: str
    directory: Path
    conversations: Conversations
    refused_s: float
    _prompts: asyncio.Queue[_Turn | None] = field(default_factory=asyncio.Queue)
    is_lost: bool = False
    _interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    _file: Path | None = None
    _task: asyncio.Task[None] | None = None

    async def ask(self, prompt: str) -> Outcome:
        """Work on a prompt, after those that came before."""
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        turn = _Turn(prompt, asyncio.get_running_loop().create_future())
        self._prompts.put_nowait(turn)
        return await asyncio.shield(turn.outcome)

    def interrupt(self) -> None:
        """End the open turn with an error; a turn that hangs goes on."""
        self._interrupted.set()

    async def stop(self, patience_s: float) -> None:
        """End after the open turn, or cut it off when the time is over."""
        if self._task is None:
            return
        self._prompts.put_nowait(None)
        timeout = 0 if self.is_lost else patience_s
        _, pending = await asyncio.wait([self._task], timeout=timeout)
        for task in pending:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._task = None

    async def _work(self) -> None:
        while (turn := await self._prompts.get()) is not None:
            outcome: Outcome = CutOff()
            try:
                outcome = await self._take_turn(turn.prompt)
            except OSError as error:
                outcome = Answer(str(error), is_error=True)
            finally:
                turn.outcome.set_result(outcome)

    async def _take_turn(self, prompt: str) -> Outcome:
        file = self._file = self._file or await self._open_conversation()
        conversation.append(file, "user", prompt)
        turn = conversation.count_prompts(file)
        self._interrupted.clear()
        acting = asyncio.create_task(self._act(turn, prompt))
        interrupted = asyncio.create_task(self._interrupted.wait())
        try:
            await asyncio.wait([acting, interrupted], return_when=asyncio.FIRST_COMPLETED)
            outcome = acting.result() if acting.done() else Answer("", is_error=True)
        finally:
            acting.cancel()
            interrupted.cancel()
        conversation.append(file, "assistant", outcome.text)
        return outcome

    async def _open_conversation(self) -> Path:
        """Resume the conversation of the thread's id; for ever if it is not there."""
        await asyncio.sleep(START_S)
        identifier = self.conversations.read_id(self.thread)
        if not identifier:
            identifier = self.conversations.new_id(self.thread)
            await asyncio.sleep(ID_BEFORE_CONVERSATION_S)
            return self.conversations.create(identifier, self.directory)
        if (file := self.conversations.find(identifier)) is not None:
            return file
        self.is_lost = True
        await asyncio.Event().wait()
        raise AssertionError

    async def _act(self, turn: int, prompt: str) -> Answer:
        match commands.parse(prompt):
            case commands.Write(file, text):
                (self.directory / file).write_text(text)
            case commands.Sleep(seconds):
                await asyncio.sleep(seconds)
            case commands.Work(name, files, seconds):
                await self._work_slowly(name, files, seconds, prompt)
            case commands.Silent():
                await asyncio.Event().wait()
            case commands.RefuseKey():
                await asyncio.sleep(self.refused_s)
                return Answer("The model refused the key.", is_error=True)
            case commands.Refuse():
                return Answer("The model refused the request.", is_error=True)
            case commands.Say():
                pass
        return Answer(commands.answer(turn, prompt))

    async def _work_slowly(self, name: str, files: int, seconds: float, text: str) -> None:
        """Write files one after the other, and add to one that all prompts have in common."""
        for number in range(1, files + 1):
            await asyncio.sleep(seconds)
            (self.directory / f"{name}-{number}").write_text(text)
            with (self.directory / "all").open("a") as file:
                file.write(f"{text}\n")


async def stream_answer(asked: dict[str, Any], outcome: Answer) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of an answer: its text in two parts, all messages, and the result."""
    ids = {"threadId": asked["threadId"], "runId": asked["runId"]}
    more = {"thread_id": asked["threadId"], "run_id": asked["runId"]}
    message = {"messageId": f"answer-{asked['runId']}"}
    if outcome.text:
        middle = len(outcome.text) // 2
        yield {"type": "TEXT_MESSAGE_START", **message, "role": "assistant", **more}
        for delta in (outcome.text[:middle], outcome.text[middle:]):
            if delta:
                yield {"type": "TEXT_MESSAGE_CONTENT", **message, "delta": delta, **more}
        yield {"type": "TEXT_MESSAGE_END", **message, **more}
        hook = {"hook_event_name": "Stop", "last_assistant_message": outcome.text}
        yield {"type": "CUSTOM", "name": "hook:Stop", "value": hook}
    said = {"id": message["messageId"], "role": "assistant", "content": outcome.text}
    yield {"type": "MESSAGES_SNAPSHOT", "messages": [*asked["messages"], said]}
    result = {"is_error": outcome.is_error, "num_turns": 1, "total_cost_usd": 0.0}
    yield {"type": "RUN_FINISHED", **ids, "result": result}
