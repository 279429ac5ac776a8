from anyio.lowlevel import checkpoint
from rtvi_plugins import Session, action, bot


@bot(client=["bot:print_report"])
async def office(session: Session, /) -> None:
    """Prints reports. This bot has no conversation."""


async def print_page(number: int) -> None:
    """Replace this with your slow work."""
    await checkpoint()


@action(office, long=True)
async def print_report(session: Session, /, pages: int) -> dict[str, int]:
    """Print a report. This takes a while."""
    for page in range(1, pages + 1):
        await print_page(page)
        session.progress({"page": page})
    return {"pages": pages}
