from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from rtvi_plugins import LLM, Secret, Session, bot, converse, lifespan, service
from rtvi_plugins.kinds import LLMRequest, Text


class Model:
    """A model that takes long to load: here, words of a file."""

    def __init__(self, file: Path) -> None:
        self.words = file.read_text("utf-8").split()


@lifespan
@asynccontextmanager
async def parrot_model(file: Secret, /) -> AsyncGenerator[Model]:
    """Load the file that PARROT_MODEL_FILE names, in a thread."""
    yield await anyio.to_thread.run_sync(Model, Path(file.reveal()))


class Parrot:
    """The live service of one session. All sessions share the model."""

    def __init__(self, model: Model) -> None:
        self.model = model

    async def respond(self, request: LLMRequest, /) -> AsyncIterator[Text]:
        """Say a word of the model."""
        yield Text(self.model.words[len(request.messages) % len(self.model.words)])


@service("llm", "parrot")
@asynccontextmanager
async def parrot(model: Model, /) -> AsyncGenerator[Parrot]:
    """Says words."""
    yield Parrot(model)


@bot(services={"llm": "parrot"})
async def cage(session: Session, /, llm: LLM) -> None:
    """Talks like a parrot."""
    await converse(session, llm=llm)
