from rtvi_plugins import action


@action("bot")
async def time_left(pizza: int) -> str:
    """Return the time that a pizza is still in the oven."""
    return f"pizza {pizza} needs {pizza + 1} minutes"
