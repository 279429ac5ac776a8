from attrs import define, field
from rtvi_plugins import LLM, Session, action, bot, converse


@define
class Cart:
    """The state of a session."""

    products: list[str] = field(factory=list[str])
    address: str | None = None


@bot(state=Cart, services={"llm": "rules"}, functions=["bot:add"], client=["bot:add", "bot:cart"])
async def shop(session: Session[Cart], /, llm: LLM) -> None:
    """Keeps a cart for each session."""
    await converse(session, llm=llm)


@action(shop)
async def add(session: Session[Cart], /, product: str) -> int:
    """Add a product, and return the number of products."""
    session.state.products.append(product)
    return len(session.state.products)


@action(shop)
async def cart(session: Session[Cart], /) -> Cart:
    """Return the cart."""
    return session.state
