-- Tables and functions of stores and runs, as version 1 of them was.

CREATE TABLE IF NOT EXISTS frame_async_version (version integer PRIMARY KEY);
INSERT INTO frame_async_version VALUES (1) ON CONFLICT DO NOTHING;

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

CREATE OR REPLACE FUNCTION frame_async_1_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

CREATE OR REPLACE FUNCTION frame_async_1_forget(p_now bigint) RETURNS void
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

CREATE OR REPLACE FUNCTION frame_async_1_claim(
  p_name bytea, p_fingerprint text, p_token bytea, p_lease bigint, p_keep bigint,
  p_patience integer,
  OUT o_outcome text, OUT o_number bigint, OUT o_body bytea, OUT o_fingerprint text)
LANGUAGE plpgsql AS $$
DECLARE
  v_found frame_async_keys;
  v_now bigint;
BEGIN
  PERFORM set_config('lock_timeout', p_patience::text, true);
  LOOP
    SELECT * INTO v_found FROM frame_async_keys WHERE name = p_name FOR UPDATE;
    EXIT WHEN FOUND;
    v_now := frame_async_1_now();
    INSERT INTO frame_async_keys VALUES (p_name, p_fingerprint, 'claimed', p_token,
      v_now + p_lease, 1, NULL, v_now + p_lease + p_keep) ON CONFLICT DO NOTHING;
    IF FOUND THEN
      PERFORM frame_async_1_forget(v_now);
      o_outcome := 'claimed';
      RETURN;
    END IF;
  END LOOP;
  v_now := frame_async_1_now();
  IF v_found.forget_at <= v_now THEN
    v_found.state := 'forgotten';
    v_found.doubts := 0;
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
    -- Nothing was changed but a lock, and that is no reason to wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN;
  END IF;
  UPDATE frame_async_keys SET fingerprint = p_fingerprint, state = 'claimed', token = p_token,
    until = v_now + p_lease, doubts = v_found.doubts + 1, body = NULL,
    forget_at = v_now + p_lease + p_keep
  WHERE name = p_name;
  o_outcome := CASE WHEN v_found.doubts = 0 THEN 'claimed' ELSE 'doubt' END;
  o_number := v_found.doubts;
END $$;

CREATE OR REPLACE FUNCTION frame_async_1_change(
  p_name bytea, p_token bytea, p_state text, p_time bigint, p_doubts integer, p_body bytea,
  p_keep bigint, p_patience integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
  v_found frame_async_keys;
  v_now bigint;
BEGIN
  PERFORM set_config('lock_timeout', p_patience::text, true);
  SELECT * INTO v_found FROM frame_async_keys WHERE name = p_name FOR UPDATE;
  v_now := frame_async_1_now();
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

CREATE OR REPLACE FUNCTION frame_async_1_appoint(
  p_window frame_async_windows, p_first bigint, p_now bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_told integer := p_window.told + 1;
  v_at bigint := p_window.told_at;
BEGIN
  IF v_at < p_first THEN
    v_told := 1;
    v_at := p_first;
  ELSIF v_told > 5 THEN
    v_told := 1;
    SELECT least(frees_at, p_now + p_window.per) INTO v_at FROM frame_async_slots
    WHERE window_name = p_window.name AND frees_at > p_window.told_at
    ORDER BY frees_at LIMIT 1;
    IF v_at IS NULL OR v_at <= p_window.told_at THEN v_at := p_first; END IF;
  END IF;
  UPDATE frame_async_windows SET told = v_told, told_at = v_at WHERE name = p_window.name;
  RETURN v_at - p_now;
END $$;

CREATE OR REPLACE FUNCTION frame_async_1_window(
  p_name bytea, p_requests integer, p_per bigint, p_keep bigint, p_patience integer)
RETURNS frame_async_windows LANGUAGE plpgsql AS $$
DECLARE
  v_window frame_async_windows;
  v_now bigint;
  v_freed integer;
BEGIN
  PERFORM set_config('lock_timeout', p_patience::text, true);
  LOOP
    SELECT * INTO v_window FROM frame_async_windows WHERE name = p_name FOR UPDATE;
    EXIT WHEN FOUND;
    INSERT INTO frame_async_windows VALUES (p_name, p_requests, p_per, 0, p_requests, 0, 0, 0, 0, 0,
      frame_async_1_now() + p_keep) ON CONFLICT DO NOTHING;
  END LOOP;
  IF v_window.requests <> p_requests OR v_window.per <> p_per THEN
    UPDATE frame_async_windows SET requests = p_requests, per = p_per,
      known = CASE WHEN known < requests THEN least(known, p_requests) ELSE p_requests END
    WHERE name = p_name RETURNING * INTO v_window;
  END IF;
  v_now := frame_async_1_now();
  DELETE FROM frame_async_slots WHERE window_name = p_name AND frees_at <= v_now;
  GET DIAGNOSTICS v_freed = ROW_COUNT;
  IF v_freed > 0 THEN
    UPDATE frame_async_windows SET used = used - v_freed
    WHERE name = p_name RETURNING * INTO v_window;
  END IF;
  RETURN v_window;
END $$;

CREATE OR REPLACE FUNCTION frame_async_1_wait(
  p_window frame_async_windows, p_surplus integer, p_now bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT coalesce((
    SELECT greatest(1000, least(frees_at, p_now + p_window.per) - p_now)
    FROM frame_async_slots WHERE window_name = p_window.name
    ORDER BY frees_at OFFSET greatest(0, least(p_surplus, p_window.used - 1)) LIMIT 1
  ), 1000)
$$;

CREATE OR REPLACE FUNCTION frame_async_1_got(p_name bytea) RETURNS integer
LANGUAGE sql STABLE AS $$
  SELECT count(*)::integer FROM frame_async_slots
  WHERE window_name = p_name AND NOT held AND NOT refused
$$;

CREATE OR REPLACE FUNCTION frame_async_1_probing(p_name bytea) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT coalesce(max(frees_at), 0) FROM frame_async_slots
  WHERE window_name = p_name AND held AND probe
$$;

CREATE OR REPLACE FUNCTION frame_async_1_enter(
  p_name bytea, p_requests integer, p_per bigint, p_token bytea, p_open integer,
  p_reserve double precision, p_hold bigint, p_force boolean, p_keep bigint,
  p_patience integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_window frame_async_windows;
  v_now bigint;
  v_ours integer;
  v_probe boolean;
  v_wait bigint := 0;
BEGIN
  -- The row is locked until the commit, so that one after the other would wait for the disk.
  PERFORM set_config('synchronous_commit', 'off', true);
  v_window := frame_async_1_window(p_name, p_requests, p_per, p_keep, p_patience);
  v_now := frame_async_1_now();
  v_ours := v_window.known;
  IF p_reserve > 0 AND v_ours > 1 THEN
    v_ours := v_ours - greatest(1, floor(v_ours * p_reserve)::integer);
  END IF;
  v_probe := p_force OR v_window.used >= v_ours;
  IF EXISTS (SELECT FROM frame_async_slots
             WHERE window_name = p_name AND token = p_token AND held) THEN
    RETURN 0;
  ELSIF v_now < v_window.paused THEN
    v_wait := v_window.paused - v_now;
  ELSIF v_window.used >= p_open THEN
    v_wait := frame_async_1_wait(v_window, v_window.used - p_open, v_now);
    IF p_reserve > 0 AND NOT p_force THEN
      v_wait := frame_async_1_appoint(v_window, v_now + v_wait, v_now);
    END IF;
  ELSIF v_probe AND NOT p_force AND (v_now < v_window.probe_at OR v_now < v_window.probing OR (
      v_now < v_window.probe_at + p_per AND EXISTS (
        SELECT FROM frame_async_slots WHERE window_name = p_name AND held))) THEN
    v_wait := least(frame_async_1_wait(v_window, v_window.used - v_ours, v_now),
      greatest(v_window.probe_at - v_now, 100000));
  ELSE
    INSERT INTO frame_async_slots
    VALUES (p_name, p_token, v_now + p_hold + p_per, true, v_probe, false);
  END IF;
  IF v_wait = 0 THEN
    UPDATE frame_async_windows SET used = used + 1,
      probing = CASE WHEN v_probe THEN greatest(probing, v_now + p_hold + p_per)
        ELSE probing END,
      forget_at = greatest(forget_at, v_now + p_hold + p_per + p_keep)
    WHERE name = p_name;
  END IF;
  RETURN v_wait;
END $$;

CREATE OR REPLACE FUNCTION frame_async_1_leave(
  p_name bytea, p_requests integer, p_per bigint, p_token bytea, p_sent boolean,
  p_keep bigint, p_patience integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_window frame_async_windows;
  v_now bigint;
  v_probe boolean;
BEGIN
  -- A slot that was left and then forgotten by a crash stays taken: late, and not wrong.
  PERFORM set_config('synchronous_commit', 'off', true);
  v_window := frame_async_1_window(p_name, p_requests, p_per, p_keep, p_patience);
  v_now := frame_async_1_now();
  IF p_sent THEN
    UPDATE frame_async_slots SET held = false, frees_at = v_now + p_per
    WHERE window_name = p_name AND token = p_token AND held RETURNING probe INTO v_probe;
  ELSE
    DELETE FROM frame_async_slots
    WHERE window_name = p_name AND token = p_token AND held RETURNING probe INTO v_probe;
  END IF;
  IF v_probe IS NULL THEN RETURN 0; END IF;
  IF p_sent AND v_window.known < p_requests THEN
    v_window.known := greatest(v_window.known, least(frame_async_1_got(p_name), p_requests));
  END IF;
  UPDATE frame_async_windows SET used = used - (NOT p_sent)::integer, known = v_window.known,
    probing = CASE WHEN v_probe THEN frame_async_1_probing(p_name) ELSE probing END,
    forget_at = greatest(forget_at, v_now + p_per + p_keep)
  WHERE name = p_name;
  RETURN 1;
END $$;

CREATE OR REPLACE FUNCTION frame_async_1_refuse(
  p_name bytea, p_requests integer, p_per bigint, p_token bytea, p_pause bigint,
  p_keep bigint, p_patience integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_window frame_async_windows;
  v_now bigint;
  v_probe boolean;
BEGIN
  v_window := frame_async_1_window(p_name, p_requests, p_per, p_keep, p_patience);
  v_now := frame_async_1_now();
  UPDATE frame_async_slots SET held = false, refused = true, frees_at = v_now + p_per
  WHERE window_name = p_name AND token = p_token AND held RETURNING probe INTO v_probe;
  IF v_probe IS NOT NULL THEN
    v_window.known := greatest(1, least(v_window.known, frame_async_1_got(p_name)));
  END IF;
  UPDATE frame_async_windows SET paused = greatest(paused, v_now + p_pause),
    probe_at = v_now + p_per, known = v_window.known,
    probing = CASE WHEN v_probe THEN frame_async_1_probing(p_name) ELSE probing END,
    forget_at = greatest(forget_at, v_now + greatest(p_pause, p_per) + p_keep)
  WHERE name = p_name;
  RETURN 1;
END $$;

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
