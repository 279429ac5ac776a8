"""The tables and functions in the database, in a schema of their own: `rtvi`."""

from __future__ import annotations

from typing import Any, Final

from psycopg import Connection

__all__ = ("VERSION", "prepare")

#: The version of the schema, in the table `rtvi.version`.
VERSION: Final = 1
#: A number of our own for the lock that one process at a time holds while it prepares the schema.
_LOCK: Final = 0x52545649
_SCHEMA: Final = """
CREATE TABLE rtvi.session (id text PRIMARY KEY, epoch bigint NOT NULL, ends timestamptz NOT NULL);
CREATE INDEX ON rtvi.session (ends);
CREATE TABLE rtvi.state (
    session text REFERENCES rtvi.session (id) ON DELETE CASCADE,
    key text,
    value text NOT NULL,
    PRIMARY KEY (session, key)
);

-- Change a record. Return whether it has this epoch. Its row stays locked until the end of the transaction.
CREATE FUNCTION rtvi.write(
    of_session text, of_epoch bigint, until timestamptz, creates boolean, keys text[], texts text[], gone text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF creates THEN
        INSERT INTO rtvi.session VALUES (of_session, 1, until) ON CONFLICT DO NOTHING;
    END IF;
    UPDATE rtvi.session SET ends = until WHERE id = of_session AND epoch = of_epoch;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO rtvi.state SELECT of_session, * FROM unnest(keys, texts)
        ON CONFLICT (session, key) DO UPDATE SET value = excluded.value;
    DELETE FROM rtvi.state WHERE session = of_session AND key = ANY (gone);
    RETURN true;
END $$;

-- Become the owner. Return the new epoch; NULL if there is no record, or none with this key.
CREATE FUNCTION rtvi.claim(of_session text, name text, owner text, proof text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    claimed bigint;
BEGIN
    -- A writer that holds the row is waited for. The next statements see what it has written.
    UPDATE rtvi.session SET epoch = epoch + 1 WHERE id = of_session AND ends > clock_timestamp()
        AND EXISTS (SELECT FROM rtvi.state WHERE session = of_session AND key = proof)
        RETURNING epoch INTO claimed;
    IF claimed IS NOT NULL THEN
        INSERT INTO rtvi.state VALUES (of_session, name, owner)
            ON CONFLICT (session, key) DO UPDATE SET value = excluded.value;
    END IF;
    RETURN claimed;
END $$;

CREATE TABLE rtvi.version (number integer NOT NULL);
INSERT INTO rtvi.version VALUES (1);
"""


def prepare(connection: Connection[Any]) -> None:
    """Create the schema if there is none. Raise `ValueError` for the schema of a newer release."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        found: Any = connection.execute("SELECT to_regclass('rtvi.version')").fetchone()
        if found[0] is None:
            connection.execute("CREATE SCHEMA IF NOT EXISTS rtvi")
            connection.execute(_SCHEMA)
        version: Any = connection.execute("SELECT number FROM rtvi.version").fetchone()
        if version[0] > VERSION:
            raise ValueError(f"The schema rtvi was made by a newer release, with version {version[0]}.")
