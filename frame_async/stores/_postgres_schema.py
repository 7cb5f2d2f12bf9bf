"""What PostgreSQL does for us: tables, and one function for each operation.

Time is the server's own, in microseconds since 1970, read after the row that matters was
locked: so an operation that waited for another one sees the time at which it goes on.
Functions have the version of the schema that they came with in their names, so that programs
with an older and a newer version of this library can share a database while they are replaced.
"""

import re
from typing import Final

from frame_async.stores._postgres_windows import WINDOWS

VERSION: Final = 3

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS frame_async_version (version integer PRIMARY KEY);
INSERT INTO frame_async_version VALUES (3) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS frame_async_keys (
  name bytea PRIMARY KEY,
  fingerprint text NOT NULL,
  state text NOT NULL,
  token bytea NOT NULL,
  until bigint NOT NULL,
  doubts integer NOT NULL,
  body bytea,
  forget_at bigint NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS frame_async_keys_pkey ON frame_async_keys (name);
CREATE INDEX IF NOT EXISTS frame_async_keys_forget_at ON frame_async_keys (forget_at);

CREATE SEQUENCE IF NOT EXISTS frame_async_turns;

CREATE TABLE IF NOT EXISTS frame_async_windows (
  name bytea PRIMARY KEY,
  requests integer NOT NULL,
  per bigint NOT NULL,
  used integer NOT NULL,
  known integer NOT NULL,
  probe_at bigint NOT NULL,
  paused bigint NOT NULL,
  probing bigint NOT NULL,
  told integer NOT NULL,
  told_at bigint NOT NULL,
  forget_at bigint NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE frame_async_windows ADD COLUMN IF NOT EXISTS paced_to bigint NOT NULL DEFAULT 0;
ALTER TABLE frame_async_windows ADD COLUMN IF NOT EXISTS payers_until bigint NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX IF NOT EXISTS frame_async_windows_pkey ON frame_async_windows (name);

CREATE TABLE IF NOT EXISTS frame_async_slots (
  window_name bytea NOT NULL,
  token bytea NOT NULL,
  frees_at bigint NOT NULL,
  held boolean NOT NULL,
  probe boolean NOT NULL,
  refused boolean NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS frame_async_slots_held
  ON frame_async_slots (window_name, token) WHERE held;
CREATE INDEX IF NOT EXISTS frame_async_slots_frees_at
  ON frame_async_slots (window_name, frees_at);
"""

CLOCK: Final = """
CREATE OR REPLACE FUNCTION frame_async_2_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;
"""

_FORGET: Final = """
CREATE OR REPLACE FUNCTION frame_async_2_forget(p_now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM frame_async_keys WHERE name IN (
    SELECT name FROM frame_async_keys WHERE forget_at <= p_now
    ORDER BY forget_at LIMIT 8 FOR UPDATE SKIP LOCKED);
  WITH gone AS (
    DELETE FROM frame_async_windows WHERE name IN (
      SELECT name FROM frame_async_windows WHERE forget_at <= p_now
      LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING name)
  DELETE FROM frame_async_slots WHERE window_name IN (SELECT name FROM gone);
END $$;
"""

_KEYS: Final = """
-- Which memory this is stands among the keys, under no key's name, so that it goes with them.
-- It has its name for a token, and until when unknown keys are in doubt. The sequence counts
-- claims: one that doesn't come after what was seen is an older copy's.
CREATE OR REPLACE FUNCTION frame_async_3_memory(
  p_new bytea, p_known bytea, p_seen bigint, p_doubtful bigint,
  OUT o_memory bytea, OUT o_turn bigint, OUT o_lost boolean, OUT o_doubtful_until bigint)
LANGUAGE plpgsql AS $$
BEGIN
  o_turn := nextval('frame_async_turns');
  LOOP
    SELECT token, until INTO o_memory, o_doubtful_until FROM frame_async_keys WHERE name = '';
    EXIT WHEN FOUND;
    INSERT INTO frame_async_keys VALUES ('', '', 'memory', p_new, 0, 0, NULL,
      9223372036854775807) ON CONFLICT DO NOTHING;
  END LOOP;
  o_lost := p_known <> '' AND (o_memory <> p_known OR o_turn <= p_seen);
  IF o_lost THEN
    UPDATE frame_async_keys SET token = CASE WHEN token = p_known THEN p_new ELSE token END,
      until = greatest(until, frame_async_2_now() + p_doubtful)
    WHERE name = '' RETURNING token, until INTO o_memory, o_doubtful_until;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION frame_async_3_claim(
  p_name bytea, p_fingerprint text, p_token bytea, p_lease bigint, p_keep bigint,
  p_known bytea, p_seen bigint, p_doubtful bigint, p_patience integer,
  OUT o_outcome text, OUT o_number bigint, OUT o_body bytea, OUT o_fingerprint text,
  OUT o_memory bytea, OUT o_turn bigint, OUT o_lost boolean)
LANGUAGE plpgsql AS $$
DECLARE
  v_found frame_async_keys;
  v_doubtful_until bigint;
  v_now bigint;
BEGIN
  PERFORM set_config('lock_timeout', p_patience::text, true);
  SELECT * INTO o_memory, o_turn, o_lost, v_doubtful_until
  FROM frame_async_3_memory(p_token, p_known, p_seen, p_doubtful);
  LOOP
    SELECT * INTO v_found FROM frame_async_keys WHERE name = p_name FOR UPDATE;
    EXIT WHEN FOUND;
    v_now := frame_async_2_now();
    o_number := (v_now < v_doubtful_until)::integer;
    INSERT INTO frame_async_keys VALUES (p_name, p_fingerprint, 'claimed', p_token,
      v_now + p_lease, 1 + o_number, NULL, v_now + p_lease + p_keep) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      PERFORM frame_async_2_forget(v_now);
      o_outcome := CASE WHEN o_number = 0 THEN 'claimed' ELSE 'doubt' END;
      RETURN;
    END IF;
  END LOOP;
  v_now := frame_async_2_now();
  IF v_found.forget_at <= v_now THEN
    v_found.state := 'forgotten';
    v_found.doubts := (v_now < v_doubtful_until)::integer;
  ELSIF v_found.fingerprint <> p_fingerprint THEN
    o_outcome := 'conflict';
    o_fingerprint := v_found.fingerprint;
  ELSIF v_found.state = 'done' THEN
    o_outcome := 'done';
    o_body := v_found.body;
  ELSIF v_found.state = 'claimed' AND v_now < v_found.until THEN
    o_outcome := 'flight';
    o_number := v_found.until - v_now;
  END IF;
  IF o_outcome IS NOT NULL THEN
    IF NOT o_lost THEN
      -- Nothing was changed but a lock, and that is no reason to wait for the disk.
      PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    RETURN;
  END IF;
  UPDATE frame_async_keys SET fingerprint = p_fingerprint, state = 'claimed', token = p_token,
    until = v_now + p_lease, doubts = v_found.doubts + 1, body = NULL,
    forget_at = v_now + p_lease + p_keep
  WHERE name = p_name;
  o_outcome := CASE WHEN v_found.doubts = 0 THEN 'claimed' ELSE 'doubt' END;
  o_number := v_found.doubts;
END $$;

CREATE OR REPLACE FUNCTION frame_async_2_change(
  p_name bytea, p_token bytea, p_state text, p_time bigint, p_doubts integer, p_body bytea,
  p_keep bigint, p_patience integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  v_found frame_async_keys;
  v_now bigint;
BEGIN
  PERFORM set_config('lock_timeout', p_patience::text, true);
  SELECT * INTO v_found FROM frame_async_keys WHERE name = p_name FOR UPDATE;
  v_now := frame_async_2_now();
  IF v_found.name IS NULL OR v_found.token <> p_token OR v_found.forget_at <= v_now THEN
    RETURN false;
  ELSIF v_found.state = 'done' AND p_state = 'done' THEN
    RETURN v_found.body = p_body;
  ELSIF v_found.state = 'doubt' AND p_state = 'doubt' THEN
    RETURN v_found.doubts = p_doubts;
  ELSIF v_found.state <> 'claimed' THEN
    RETURN false;
  ELSIF p_state = 'free' THEN
    DELETE FROM frame_async_keys WHERE name = p_name;
    RETURN true;
  END IF;
  UPDATE frame_async_keys SET state = p_state, until = v_now + p_time, doubts = p_doubts,
    body = p_body, forget_at = v_now + p_time + p_keep
  WHERE name = p_name;
  RETURN true;
END $$;
"""

SCHEMA: Final = _TABLES + CLOCK + _FORGET + _KEYS + WINDOWS
"""All tables and functions; running it again creates what is missing, and nothing else."""

SETTINGS: Final = """
SELECT set_config(name, value, false) FROM (VALUES
  ('timezone', 'UTC'), ('datestyle', 'ISO'), ('default_transaction_isolation', 'read committed'),
  ('default_transaction_read_only', 'off'), ('default_transaction_deferrable', 'off'),
  ('statement_timeout', '0'), ('lock_timeout', '0'), ('check_function_bodies', 'on'),
  ('idle_in_transaction_session_timeout', '0'),
  ('search_path', (SELECT CASE WHEN source IN ('default', 'client', 'session')
    THEN coalesce(quote_ident(current_schema()), setting) ELSE 'public' END
    FROM pg_settings WHERE name = 'search_path'))) AS ours (name, value)
"""
"""What a session relies on, whatever server, database, role and environment say otherwise.

Tables and functions are in the schema that the URL names by ``options=-csearch_path=...``, or in
the user's own or ``public``, as PostgreSQL's own default says.
"""


def missing(schema: str) -> str:
    """A query of one boolean: whether a table, index or function of a schema isn't there."""
    relations = _named(r"(?:TABLE|INDEX|SEQUENCE) IF NOT EXISTS (\w+)", schema)
    functions = _named(r"OR REPLACE FUNCTION (\w+)", schema)
    return (
        f"SELECT EXISTS (SELECT FROM unnest({relations}) AS ours (name)"  # noqa: S608
        " WHERE to_regclass(name) IS NULL)"
        f" OR EXISTS (SELECT FROM unnest({functions}) AS ours (name)"
        " WHERE to_regproc(name) IS NULL) AS missing"
    )


def _named(pattern: str, schema: str) -> str:
    return f"ARRAY[{', '.join(repr(name) for name in re.findall(pattern, schema))}]::text[]"
