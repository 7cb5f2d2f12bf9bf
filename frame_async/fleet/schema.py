"""What PostgreSQL keeps of runs that many hosts work off: tables, and the statements on them.

A run is a file, or requests from code, that were enqueued; each of its rows is a row here for
good, and a job of procrastinate until it has its result. Both are written in one transaction,
and so is the number of the job: a row has one job at a time, whatever is killed when.
"""

import re
from typing import Final

VERSION: Final = 2

LOCK: Final = 0x6672616D66  # "framf": the stores have "frame"

TABLES: Final = """
CREATE TABLE IF NOT EXISTS frame_async_bulk_version (version integer PRIMARY KEY);
INSERT INTO frame_async_bulk_version VALUES (2) ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS frame_async_bulk_runs (
  id text PRIMARY KEY,
  name text NOT NULL UNIQUE,
  queue text NOT NULL,
  mode text NOT NULL,
  target text NOT NULL,
  account text NOT NULL,
  key_column text NOT NULL,
  hold boolean NOT NULL,
  requests integer,
  per double precision,
  total bigint NOT NULL,
  complete boolean NOT NULL DEFAULT false,
  begun_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS frame_async_bulk_rows (
  run text NOT NULL REFERENCES frame_async_bulk_runs ON DELETE CASCADE,
  known_as bigint NOT NULL,
  number bigint NOT NULL,
  line bigint NOT NULL,
  reference text NOT NULL,
  digest bigint NOT NULL,
  request text,
  job bigint,
  doubles integer NOT NULL DEFAULT 0,
  ending smallint,
  result text,
  ended_at timestamptz,
  PRIMARY KEY (run, known_as)
);
-- How many workers were about to send it and didn't say what came of it.
ALTER TABLE frame_async_bulk_rows ADD COLUMN IF NOT EXISTS begun integer NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS frame_async_bulk_rows_number
  ON frame_async_bulk_rows (run, number, known_as);
CREATE INDEX IF NOT EXISTS frame_async_bulk_rows_ended_at
  ON frame_async_bulk_rows (run, ended_at);
CREATE INDEX IF NOT EXISTS frame_async_bulk_rows_told
  ON frame_async_bulk_rows (run, number) WHERE ending = 3 OR doubles > 0;
"""

_GIVE_JOBS: Final = """
CREATE OR REPLACE FUNCTION frame_async_bulk_2_give_jobs(
  p_run text, p_task text, p_rows bigint[], p_most integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
  v_queue text;
  v_open bigint[];
  v_jobs bigint[];
BEGIN
  -- Whoever gives jobs to the same run at the same time waits here, until this is committed.
  SELECT queue INTO STRICT v_queue FROM frame_async_bulk_runs WHERE id = p_run FOR UPDATE;
  SELECT array_agg(known_as ORDER BY number) INTO v_open FROM (
    SELECT known_as, number FROM frame_async_bulk_rows AS kept
    WHERE run = p_run AND (p_rows IS NULL OR known_as = ANY (p_rows)) AND ending IS NULL
      AND NOT EXISTS (
        SELECT FROM procrastinate_jobs WHERE id = kept.job AND status IN ('todo', 'doing'))
    ORDER BY number LIMIT p_most) AS open;
  IF v_open IS NULL THEN RETURN 0; END IF;
  v_jobs := procrastinate_defer_jobs_v1(ARRAY(
    SELECT ROW(v_queue, p_task, 0, NULL, NULL,
      jsonb_build_object('run', p_run, 'row', known_as), NULL)::procrastinate_job_to_defer_v1
    FROM unnest(v_open) WITH ORDINALITY AS open (known_as, nth) ORDER BY nth));
  UPDATE frame_async_bulk_rows AS kept SET job = jobs.id FROM procrastinate_jobs AS jobs
  WHERE jobs.id = ANY (v_jobs) AND kept.run = p_run
    AND kept.known_as = (jobs.args ->> 'row')::bigint;
  RETURN cardinality(v_open);
END $$;
"""

_ENQUEUE: Final = """
CREATE OR REPLACE FUNCTION frame_async_bulk_2_enqueue(
  p_run text, p_task text, p_rows bigint[], p_numbers bigint[], p_lines bigint[],
  p_references text[], p_digests bigint[], p_requests text[], p_results text[],
  p_again smallint[],
  OUT o_added bigint, OUT o_again bigint, OUT o_changed bigint[])
LANGUAGE plpgsql AS $$
BEGIN
  -- Whoever enqueues the same run at the same time waits here, until this is committed.
  PERFORM FROM frame_async_bulk_runs WHERE id = p_run FOR UPDATE;
  UPDATE frame_async_bulk_rows AS kept SET
    number = given.number, line = given.line, reference = given.reference,
    digest = given.digest, request = given.request, job = NULL,
    ending = CASE WHEN given.request IS NULL THEN 2 END, result = given.result,
    ended_at = CASE WHEN given.request IS NULL THEN clock_timestamp() END
  FROM unnest(p_rows, p_numbers, p_lines, p_references, p_digests,
    p_requests, p_results)
    AS given (known_as, number, line, reference, digest, request, result)
  WHERE kept.run = p_run AND kept.known_as = given.known_as AND kept.ending = ANY (p_again);
  GET DIAGNOSTICS o_again = ROW_COUNT;
  SELECT coalesce(array_agg(given.line ORDER BY given.line), '{}') INTO o_changed
  FROM unnest(p_rows, p_lines, p_digests) AS given (known_as, line, digest)
  JOIN frame_async_bulk_rows AS kept
    ON kept.run = p_run AND kept.known_as = given.known_as AND kept.digest <> given.digest;
  INSERT INTO frame_async_bulk_rows
    (run, known_as, number, line, reference, digest, request, ending, result, ended_at)
  SELECT p_run, known_as, number, line, reference, digest, request,
    CASE WHEN request IS NULL THEN 2 END, result,
    CASE WHEN request IS NULL THEN clock_timestamp() END
  FROM unnest(p_rows, p_numbers, p_lines, p_references, p_digests,
    p_requests, p_results)
    AS given (known_as, number, line, reference, digest, request, result)
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS o_added = ROW_COUNT;
  PERFORM frame_async_bulk_2_give_jobs(p_run, p_task, p_rows, cardinality(p_rows));
END $$;
"""

SCHEMA: Final = TABLES + _GIVE_JOBS + _ENQUEUE
"""Tables and functions; running it again changes nothing. procrastinate's come first."""

_RELATIONS: Final = re.findall(r"(?:TABLE|INDEX) IF NOT EXISTS (\w+)", SCHEMA)
_FUNCTIONS: Final = re.findall(r"OR REPLACE FUNCTION (\w+)", SCHEMA)

_THEIRS: Final = ("jobs", "events", "periodic_defers", "workers")


def script(before: str, grant_to: str) -> str:
    """All SQL of a database that runs and keys are kept in: ours behind that of others.

    With ``grant_to``, that role may use it afterwards, and needs no right to create anything.
    """
    whole = f"BEGIN;\n{before}\n{SCHEMA}\n"
    if grant_to:
        role = '"' + grant_to.replace('"', '""') + '"'
        theirs = [f"procrastinate_{name}" for name in _THEIRS]
        tables = [*theirs, *re.findall(r"TABLE IF NOT EXISTS (frame_async\w+)", whole)]
        ours = re.findall(r"SEQUENCE IF NOT EXISTS (frame_async\w+)", whole)
        numbers = [*(f"{name}_id_seq" for name in theirs), *ours]
        whole += f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(tables)} TO {role};\n"
        whole += f"GRANT USAGE ON SEQUENCE {', '.join(numbers)} TO {role};\n"
    return f"{whole}COMMIT;\n"


MISSING: Final = f"""
SELECT to_regclass('frame_async_bulk_version') IS NOT NULL AS is_old, EXISTS (
  SELECT FROM unnest(ARRAY{_RELATIONS}::text[]) AS ours (name) WHERE to_regclass(name) IS NULL
) OR EXISTS (
  SELECT FROM unnest(ARRAY{_FUNCTIONS}::text[]) AS ours (name) WHERE to_regproc(name) IS NULL
) OR NOT EXISTS (
  SELECT FROM pg_attribute
  WHERE attrelid = to_regclass('frame_async_bulk_rows') AND attname = 'begun'
    AND NOT attisdropped
) AS missing
"""  # noqa: S608

NEWEST: Final = "SELECT max(version) AS version FROM frame_async_bulk_version"

PREPARE: Final = f"SELECT pg_advisory_xact_lock({LOCK});\n{SCHEMA}"

BEGIN_RUN: Final = """
INSERT INTO frame_async_bulk_runs
  (id, name, queue, mode, target, account, key_column, hold, requests, per, total)
VALUES (%(id)s, %(name)s, %(queue)s, %(mode)s, %(target)s, %(account)s, %(key_column)s,
  %(hold)s, %(requests)s, %(per)s, %(total)s)
ON CONFLICT (name) DO NOTHING
"""

REOPEN_RUN: Final = """
UPDATE frame_async_bulk_runs SET complete = false, total = %(total)s, hold = %(hold)s
WHERE id = %(run)s
"""

FIND_RUN: Final = "SELECT * FROM frame_async_bulk_runs WHERE name = %(name)s"

LIST_RUNS: Final = "SELECT * FROM frame_async_bulk_runs ORDER BY begun_at, name"

GIVE_JOBS: Final = """
SELECT frame_async_bulk_2_give_jobs(%(run)s, %(task)s, NULL, %(most)s) AS given
"""

ENQUEUE: Final = """
SELECT * FROM frame_async_bulk_2_enqueue(%(run)s, %(task)s, %(rows)s::bigint[],
  %(numbers)s::bigint[], %(lines)s::bigint[], %(references)s::text[], %(digests)s::bigint[],
  %(requests)s::text[], %(results)s::text[], %(again)s::smallint[])
"""

PLACES: Final = """
SELECT number, known_as, ending FROM frame_async_bulk_rows
WHERE run = %(run)s
  AND (number = ANY (%(numbers)s::bigint[]) OR known_as = ANY (%(rows)s::bigint[]))
"""

MOVE: Final = """
UPDATE frame_async_bulk_rows AS kept SET number = given.number
FROM unnest(%(rows)s::bigint[], %(numbers)s::bigint[]) AS given (known_as, number)
WHERE kept.run = %(run)s AND kept.known_as = given.known_as
"""

REMOVE: Final = """
DELETE FROM frame_async_bulk_rows WHERE run = %(run)s AND known_as = ANY (%(rows)s::bigint[])
"""

COMPLETE_RUN: Final = """
UPDATE frame_async_bulk_runs SET complete = true, total = %(total)s WHERE id = %(run)s
"""

SET_LIMIT: Final = """
UPDATE frame_async_bulk_runs SET requests = %(requests)s, per = %(per)s
WHERE queue = %(queue)s
"""

TAKE: Final = """
SELECT kept.request, kept.ending, kept.number, kept.line, kept.reference,
  kept.doubles, kept.begun, run.name, run.mode, run.account, run.hold
FROM frame_async_bulk_rows AS kept JOIN frame_async_bulk_runs AS run ON run.id = kept.run
WHERE kept.run = %(run)s AND kept.known_as = %(row)s
"""

BEGIN_ROW: Final = """
UPDATE frame_async_bulk_rows SET begun = begun + 1
WHERE run = %(run)s AND known_as = %(row)s AND ending IS NULL
"""

END: Final = """
UPDATE frame_async_bulk_rows SET ending = %(ending)s, doubles = %(doubles)s,
  result = %(result)s, request = NULL, begun = 0, ended_at = clock_timestamp()
WHERE run = %(run)s AND known_as = %(row)s AND ending IS NULL
"""

NOTE_DUPLICATES: Final = """
UPDATE frame_async_bulk_rows SET doubles = greatest(doubles, %(doubles)s),
  begun = greatest(begun - 1, 0)
WHERE run = %(run)s AND known_as = %(row)s AND ending IS NULL
"""

COUNT: Final = """
SELECT
  count(*) FILTER (WHERE ending = 0) AS created,
  count(*) FILTER (WHERE ending = 1) AS refused,
  count(*) FILTER (WHERE ending = 2) AS invalid,
  count(*) FILTER (WHERE ending = 3) AS unknown,
  count(*) FILTER (WHERE ending IS NULL) AS open,
  count(*) FILTER (WHERE ending IS NULL AND doubles > 0) AS doubtful
FROM frame_async_bulk_rows WHERE run = %(run)s
"""

COUNT_JOBS: Final = """
SELECT
  count(*) FILTER (WHERE job.status = 'doing') AS in_hand,
  count(*) FILTER (WHERE job.id IS NULL) AS lost,
  count(*) FILTER (WHERE kept.begun > 0 AND kept.doubles = 0
    AND job.status IS DISTINCT FROM 'doing') AS begun
FROM frame_async_bulk_rows AS kept LEFT JOIN procrastinate_jobs AS job
  ON job.id = kept.job AND job.status IN ('todo', 'doing')
WHERE kept.run = %(run)s AND kept.ending IS NULL
"""

IN_DOUBT: Final = """
SELECT line, reference, ending, doubles FROM frame_async_bulk_rows
WHERE run = %(run)s AND (ending = 3 OR doubles > 0) ORDER BY number LIMIT %(most)s
"""

LATELY: Final = """
SELECT extract(epoch FROM ended_at)::double precision AS ended_at,
  extract(epoch FROM clock_timestamp())::double precision AS now
FROM frame_async_bulk_rows
WHERE run = %(run)s AND ending <> 2
  AND ended_at > clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY ended_at DESC LIMIT %(most)s
"""

RESULTS: Final = """
SELECT number, known_as, result FROM frame_async_bulk_rows
WHERE run = %(run)s AND (number, known_as) > (%(number)s, %(row)s) AND ending IS NOT NULL
ORDER BY number, known_as LIMIT %(most)s
"""

IS_OPEN: Final = """
SELECT EXISTS (
  SELECT FROM frame_async_bulk_rows WHERE run = %(run)s AND ended_at IS NULL) AS open
"""

OPEN_IN_QUEUE: Final = """
SELECT EXISTS (
  SELECT FROM procrastinate_jobs
  WHERE queue_name = %(queue)s AND status IN ('todo', 'doing')) AS open
"""

FORGET_RUN: Final = """
DELETE FROM frame_async_bulk_runs WHERE id = %(run)s AND NOT EXISTS (
  SELECT FROM frame_async_bulk_rows WHERE run = %(run)s AND ending IS NULL)
"""
