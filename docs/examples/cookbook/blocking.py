import sqlite3
from contextlib import closing

from rtvi_plugins import Session, action, bot


@bot(client=["bot:count_rooms"])
async def office(session: Session, /) -> None:
    """Answers from a database. This bot has no conversation."""


@action(office)
def count_rooms() -> int:
    """Count the free rooms."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE rooms (number INTEGER)")
        database.executemany("INSERT INTO rooms VALUES (?)", [(1,), (2,)])
        (count,) = database.execute("SELECT count(*) FROM rooms").fetchone()
    return int(count)
