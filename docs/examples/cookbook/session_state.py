from rtvi_plugins import LLM, Session, action, bot, converse, hookimpl

carts: dict[str, list[str]] = {}


@bot(services={"llm": "rules"}, client=["bot:add", "bot:cart"])
async def shop(session: Session, /, llm: LLM) -> None:
    """Keeps a cart for each session."""
    await converse(session, llm=llm)


@action(shop)
async def add(session: Session, /, product: str) -> int:
    """Add a product, and return the number of products."""
    cart = carts.setdefault(session.id, [])
    cart.append(product)
    return len(cart)


@action(shop)
async def cart(session: Session, /) -> list[str]:
    """Return the products in the cart."""
    return carts.get(session.id, [])


@hookimpl
def session_closed(session: Session) -> None:
    """Delete the cart of a session that has ended."""
    carts.pop(session.id, None)
