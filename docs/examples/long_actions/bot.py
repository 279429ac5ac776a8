import anyio
import anyio.lowlevel
from rtvi_plugins import Session, action, bot


@bot(client=["bot:print_report"])
async def office(session: Session, /) -> None:
    """Prints reports. It holds no conversation."""


@action(office, long=True)
async def print_report(session: Session, /, pages: int) -> dict[str, int]:
    """Prints a report, which takes a while."""
    for page in range(1, pages + 1):
        await anyio.lowlevel.checkpoint()
        session.progress({"page": page})
    return {"pages": pages}
