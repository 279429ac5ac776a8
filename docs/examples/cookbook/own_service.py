from attrs import define
from rtvi_plugins import LLM, Session, action, bot, converse

PROMPT = "You are called Lisa."


@define
class Persona:
    """The state of a session."""

    prompt: str = PROMPT


@bot(
    state=Persona,
    services={"llm": "rules"},
    config={"llm": {"messages": [{"role": "system", "content": PROMPT}], "run_on_config": True}},
    client=["context:reset", "context:update_system_prompt", "llm:get_context"],
)
async def agent(session: Session[Persona], /, llm: LLM) -> None:
    """Speaks first. Clients can change its instructions."""
    await converse(session, llm=llm)


@action(agent, service="context")
async def reset(session: Session[Persona], /) -> bool:
    """Forget the conversation."""
    session.context.replace([{"role": "system", "content": session.state.prompt}])
    return True


@action(agent, service="context")
async def update_system_prompt(session: Session[Persona], /, prompt: str) -> bool:
    """Change the instructions, and forget the conversation."""
    session.state.prompt = prompt
    return await reset(session)
