from rtvi_plugins import LLM, Session, action, bot, converse


@bot(services={"llm": "rules"}, functions=["bot:add_to_cart"], client=["bot:add_to_cart"])
async def shop(session: Session, /, llm: LLM) -> None:
    """Sends changes of the cart to the page."""
    await converse(session, llm=llm)


@action(shop)
async def add_to_cart(session: Session, /, product: str) -> str:
    """Add a product to the cart."""
    session.send({"type": "cart", "added": product})
    return f"{product} is in the cart"
