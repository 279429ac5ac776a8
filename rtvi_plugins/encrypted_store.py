"""Encrypt the records of a store of sessions, so that its files and their backups reveal no conversation.

    keys = [Secret(os.environ["RTVI_STORE_KEY"])]
    host = Host(bot, store=EncryptedStore(SQLiteStore("sessions.db"), keys))

Each text is encrypted with AES-256-GCM, under a key that is derived for its session. A text can be decrypted only in
the record and under the record key where it was written, so nobody can exchange two texts. These are not encrypted: the
ids of sessions, the record keys (which have the ids of requests), the sizes, and the times at which records expire.

This needs `cryptography`: the extra `rtvi-plugins[encryption]`.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .errors import AuthorError
from .resuming import OWNER, Changes, Saved, SessionStore, Unreadable
from .session import Secret

__all__ = ("EncryptedStore",)

#: An encrypted text begins with this. The id of its key follows, and after a colon the nonce and the rest in base64.
_PREFIX: Final = "aes1:"
#: The size of a key and of a nonce, in bytes.
_KEY, _NONCE = 32, 12
#: For how many sessions the derived keys are kept.
_SESSIONS: Final = 4096
_MAKE: Final = "Make one: openssl rand -base64 32"


class EncryptedStore:
    """Encrypts what it writes into another store.

    `keys` are base64 texts of 32 random bytes. The first one encrypts. The others only decrypt what was written
    before, so a key can be replaced: put the new one in front, and remove the old one when no record is left that has
    it. Raise `AuthorError` for a key that is not valid.

    `claim`, `owner` and `read` raise `Unreadable` for a text that is not encrypted, is encrypted with a key that is
    missing, or was changed. Its record can still be removed.
    """

    def __init__(self, inner: SessionStore, keys: Sequence[Secret]) -> None:
        self._inner = inner
        self._keys = {_id_of(key): key for key in map(_read_key, keys)}
        if not self._keys:
            raise AuthorError(f"An EncryptedStore needs a key. {_MAKE}")
        self._first = next(iter(self._keys))
        self._cipher = lru_cache(_SESSIONS)(self._derive)

    @property
    def durable(self) -> bool:
        return self._inner.durable

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._inner.__aexit__(*error)

    async def write(self, session: str, epoch: int, changes: Changes, seconds: float) -> None:
        written = {key: None if text is None else self._encrypt(session, key, text) for key, text in changes.items()}
        await self._inner.write(session, epoch, written, seconds)

    async def claim(self, session: str, owner: str, proof: str) -> Saved | None:
        saved = await self._inner.claim(session, self._encrypt(session, OWNER, owner), proof)
        return None if saved is None else Saved(session, saved.epoch, self._decrypt_all(session, saved.state))

    async def owner(self, session: str) -> str | None:
        text = await self._inner.owner(session)
        return None if text is None else self._decrypt(session, OWNER, text)

    async def forget(self, session: str, epoch: int | None = None) -> None:
        await self._inner.forget(session, epoch)

    async def sessions(self) -> Sequence[str]:
        return await self._inner.sessions()

    async def read(self, session: str, keys: Collection[str] | None = None) -> Mapping[str, str] | None:
        found = await self._inner.read(session, keys)
        return None if found is None else self._decrypt_all(session, found)

    # ---- encryption ------------------------------------------------------------------------------------------------

    def _derive(self, id: str, session: str) -> AESGCM:
        """Return the cipher of a session. Each has its own key, so the nonces of sessions cannot collide."""
        info = b"rtvi_plugins session " + session.encode()
        return AESGCM(HKDFExpand(SHA256(), _KEY, info).derive(self._keys[id]))

    def _encrypt(self, session: str, key: str, text: str) -> str:
        nonce = os.urandom(_NONCE)
        sealed = self._cipher(self._first, session).encrypt(nonce, _bytes(text), _bytes(key))
        return f"{_PREFIX}{self._first}:{base64.b64encode(nonce + sealed).decode()}"

    def _decrypt_all(self, session: str, state: Mapping[str, str]) -> dict[str, str]:
        return {key: self._decrypt(session, key, text) for key, text in state.items()}

    def _decrypt(self, session: str, key: str, text: str) -> str:
        id, separator, sealed = text.removeprefix(_PREFIX).partition(":")
        if not text.startswith(_PREFIX) or not separator:
            raise Unreadable(f"The record of session {session} is not encrypted: it was written without a key.")
        if id not in self._keys:
            known = ", ".join(self._keys)
            raise Unreadable(
                f"The record of session {session} is encrypted with the key {id}, which is missing; the keys here are "
                f"{known}. Add the old key after the new one."
            )
        try:
            whole = base64.b64decode(sealed, validate=True)
            opened = self._cipher(id, session).decrypt(whole[:_NONCE], whole[_NONCE:], _bytes(key))
        except (InvalidTag, ValueError):
            raise Unreadable(f"The record of session {session} was changed outside of this store.") from None
        return opened.decode("utf-8", "surrogatepass")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _read_key(key: Secret) -> bytes:
    try:
        read = base64.b64decode(key.reveal(), validate=True)
    except (binascii.Error, ValueError):
        raise AuthorError(f"A key of the store is not in base64. {_MAKE}") from None
    if len(read) != _KEY:
        raise AuthorError(f"A key of the store has {len(read)} bytes and not {_KEY}. {_MAKE}")
    return read


def _id_of(key: bytes) -> str:
    """Return the id of an encryption key, which is written before each text. It does not reveal the key."""
    return sha256(b"rtvi_plugins key " + key).hexdigest()[:8]
