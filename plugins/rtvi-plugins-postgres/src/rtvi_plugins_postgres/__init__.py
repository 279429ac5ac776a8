"""A store of sessions in PostgreSQL: `Host(bot, store=PostgresStore("postgresql://bots@10.0.0.5/bots"))`."""

from .store import PostgresStore

__all__ = ("PostgresStore",)
