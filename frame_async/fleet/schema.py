"""What PostgreSQL keeps of runs that many hosts work off: tables, and the statements on them.

A run is a file that was enqueued; each of its rows is a row here for good, and a job of
procrastinate until it has its result. Both are written in one transaction, and so is the
number of the job: a row has one job at a time, whatever is killed when.
"""

import re
from typing import Final

LOCK: Final = 0x6672616D66  # "framf": the stores have "frame"

TABLES: Final = """
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
CREATE INDEX IF NOT EXISTS frame_async_bulk_rows_number
  ON frame_async_bulk_rows (run, number, known_as);
CREATE INDEX IF NOT EXISTS frame_async_bulk_rows_ended_at
  ON frame_async_bulk_rows (run, ended_at);
CREATE INDEX IF NOT EXISTS frame_async_bulk_rows_told
  ON frame_async_bulk_rows (run, number) WHERE ending = 3 OR doubles > 0;
"""

_ENQUEUE: Final = """
CREATE OR REPLACE FUNCTION frame_async_bulk_1_enqueue(
  p_run text, p_task text, p_rows bigint[], p_numbers bigint[], p_lines bigint[],
  p_references text[], p_digests bigint[], p_requests text[], p_results text[],
  p_again smallint[],
  OUT o_added bigint, OUT o_again bigint, OUT o_changed bigint[])
LANGUAGE plpgsql AS $$
DECLARE
  v_queue text;
  v_open bigint[];
  v_jobs bigint[];
BEGIN
  -- Whoever enqueues the same run at the same time waits here, until this is committed.
  SELECT queue INTO STRICT v_queue FROM frame_async_bulk_runs WHERE id = p_run FOR UPDATE;
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
  SELECT array_agg(known_as ORDER BY number) INTO v_open FROM frame_async_bulk_rows AS kept
  WHERE run = p_run AND known_as = ANY (p_rows) AND ending IS NULL AND NOT EXISTS (
    SELECT FROM procrastinate_jobs WHERE id = kept.job AND status IN ('todo', 'doing'));
  IF v_open IS NOT NULL THEN
    v_jobs := procrastinate_defer_jobs_v1(ARRAY(
      SELECT ROW(v_queue, p_task, 0, NULL, NULL,
        jsonb_build_object('run', p_run, 'row', known_as), NULL)::procrastinate_job_to_defer_v1
      FROM unnest(v_open) WITH ORDINALITY AS open (known_as, nth) ORDER BY nth));
    UPDATE frame_async_bulk_rows AS kept SET job = jobs.id FROM procrastinate_jobs AS jobs
    WHERE jobs.id = ANY (v_jobs) AND kept.run = p_run
      AND kept.known_as = (jobs.args ->> 'row')::bigint;
  END IF;
END $$;
"""

SCHEMA: Final = TABLES + _ENQUEUE
"""Tables and function; running it again changes nothing. procrastinate's come first."""

_RELATIONS: Final = re.findall(r"(?:TABLE|INDEX) IF NOT EXISTS (\w+)", SCHEMA)

MISSING: Final = f"""
SELECT to_regproc('frame_async_bulk_1_enqueue') IS NULL OR EXISTS (
  SELECT FROM unnest(ARRAY{_RELATIONS}::text[]) AS ours (name) WHERE to_regclass(name) IS NULL
) AS missing
"""  # noqa: S608

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

ENQUEUE: Final = """
SELECT * FROM frame_async_bulk_1_enqueue(%(run)s, %(task)s, %(rows)s::bigint[],
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
  run.name, run.mode, run.account, run.hold
FROM frame_async_bulk_rows AS kept JOIN frame_async_bulk_runs AS run ON run.id = kept.run
WHERE kept.run = %(run)s AND kept.known_as = %(row)s
"""

END: Final = """
UPDATE frame_async_bulk_rows SET ending = %(ending)s, doubles = %(doubles)s,
  result = %(result)s, request = NULL, ended_at = clock_timestamp()
WHERE run = %(run)s AND known_as = %(row)s AND ending IS NULL
"""

NOTE_DUPLICATES: Final = """
UPDATE frame_async_bulk_rows SET doubles = greatest(doubles, %(doubles)s)
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
  count(*) FILTER (WHERE job.id IS NULL) AS lost
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

OPEN_IN_QUEUE: Final = """
SELECT EXISTS (
  SELECT FROM procrastinate_jobs
  WHERE queue_name = %(queue)s AND status IN ('todo', 'doing')) AS open
"""

FORGET_RUN: Final = """
DELETE FROM frame_async_bulk_runs WHERE id = %(run)s AND NOT EXISTS (
  SELECT FROM frame_async_bulk_rows WHERE run = %(run)s AND ending IS NULL)
"""
