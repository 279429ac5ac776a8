"""A store of sessions in Redis or Valkey: `Host(bot, store=RedisStore("redis://10.0.0.5/0"))`."""

from .store import RedisStore

__all__ = ("RedisStore",)
