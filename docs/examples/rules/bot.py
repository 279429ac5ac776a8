from typing import Annotated, Literal

from attrs.validators import ge, le
from rtvi_plugins import LLM, Session, action, bot, converse
from rtvi_plugins_rules import FunctionTexts, Topic

TOPICS: dict[str, Topic] = {
    "hours": {
        "examples": ["When are you open?", "What are your opening hours?", "Are you closed on Sunday?"],
        "answers": ["We are open every day from noon to eleven.", "From noon to eleven, on Sundays too."],
    },
    "vegan": {
        "examples": ["Do you have vegan pizza?", "I am allergic to milk.", "Is there something without cheese?"],
        "answers": ["Every pizza is also made without cheese."],
    },
}

FUNCTIONS: dict[str, FunctionTexts] = {
    "order": {
        "examples": ["I would like a pizza.", "Can I order something?", "Two pizzas, please."],
        "questions": {
            "pizza": ["Funghi or Margherita?", "Which pizza, please?"],
            "pieces": ["How many?"],
            "name": ["And what is your name?"],
        },
        "confirmation": "{pieces:pizza} {pizza} for {name}, {pieces * 9} euros. Shall I order?",
        "result": "Thank you, {name}. Your number is {number}.",
        "declined": "All right, I have not ordered anything.",
    }
}


@bot(
    services={"llm": "rules"},
    config={
        "llm.rules": {
            "topics": TOPICS,
            "functions": FUNCTIONS,
            "fallbacks": ["You can order a pizza, or ask when we are open.", "Sorry, I did not understand that."],
        }
    },
    functions=["bot:order"],
)
async def pizzeria(session: Session, /, llm: LLM) -> None:
    """Takes orders, without a language model."""
    await converse(session, llm=llm)


@action(pizzeria)
async def order(
    pizza: Literal["funghi", "margherita"], pieces: Annotated[int, ge(1), le(20)], name: str
) -> dict[str, int]:
    """Order pizzas."""
    return {"number": 7}
