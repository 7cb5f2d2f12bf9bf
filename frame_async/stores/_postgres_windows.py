"""What PostgreSQL does for rate windows: a row for each, one for each slot, and functions."""

from typing import Final

from frame_async.protocol.window import ASKERS, BULK_BURST

_APPOINT: Final = """
CREATE OR REPLACE FUNCTION frame_async_2_appoint(
  p_window frame_async_windows, p_first bigint, p_least bigint, p_full boolean, p_now bigint)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_told integer := p_window.told + 1;
  v_at bigint := p_window.told_at;
BEGIN
  IF v_at < p_first THEN
    v_told := 1;
    v_at := p_first;
  ELSIF v_told > ASKERS THEN
    v_told := 1;
    SELECT least(greatest(min(frees_at), p_window.told_at + p_least), p_now + p_window.per)
    INTO v_at FROM frame_async_slots
    WHERE p_full AND window_name = p_window.name AND frees_at > p_window.told_at;
    IF v_at IS NULL OR v_at <= p_window.told_at THEN v_at := p_first; END IF;
  END IF;
  UPDATE frame_async_windows SET told = v_told, told_at = v_at WHERE name = p_window.name;
  RETURN v_at - p_now;
END $$;
""".replace("ASKERS", str(ASKERS))
"""When to ask again, for a worker whose place others want as well.

The first few are told when the first place is free, as many again when the second is, and
so on; after the last place that is known, it begins again with the first. While bulk keeps its
pace, they are told that much later at least.
"""

_RULES: Final = """
CREATE OR REPLACE FUNCTION frame_async_2_window(
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
      frame_async_2_now() + p_keep) ON CONFLICT DO NOTHING;
  END LOOP;
  IF v_window.requests <> p_requests OR v_window.per <> p_per THEN
    UPDATE frame_async_windows SET requests = p_requests, per = p_per,
      known = CASE WHEN known < requests THEN least(known, p_requests) ELSE p_requests END
    WHERE name = p_name RETURNING * INTO v_window;
  END IF;
  v_now := frame_async_2_now();
  DELETE FROM frame_async_slots WHERE window_name = p_name AND frees_at <= v_now;
  GET DIAGNOSTICS v_freed = ROW_COUNT;
  IF v_freed > 0 THEN
    UPDATE frame_async_windows SET used = used - v_freed
    WHERE name = p_name RETURNING * INTO v_window;
  END IF;
  RETURN v_window;
END $$;

CREATE OR REPLACE FUNCTION frame_async_2_wait(
  p_window frame_async_windows, p_surplus integer, p_now bigint) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT coalesce((
    SELECT greatest(1000, least(frees_at, p_now + p_window.per) - p_now)
    FROM frame_async_slots WHERE window_name = p_window.name
    ORDER BY frees_at OFFSET greatest(0, least(p_surplus, p_window.used - 1)) LIMIT 1
  ), 1000)
$$;

CREATE OR REPLACE FUNCTION frame_async_2_ours(
  p_window frame_async_windows, p_reserve double precision) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_reserve > 0 AND p_window.known > 1
    THEN p_window.known - greatest(1, floor(p_window.known * p_reserve)::integer)
    ELSE p_window.known END
$$;

CREATE OR REPLACE FUNCTION frame_async_2_early(
  p_window frame_async_windows, p_pace boolean, p_now bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_pace OR p_now < p_window.payers_until
    THEN greatest(0, ceil(p_window.paced_to - p_now - p_window.per * BURST)::bigint) END
$$;

CREATE OR REPLACE FUNCTION frame_async_2_opens_in(
  p_name bytea, p_requests integer, p_per bigint, p_reserve double precision, p_ahead integer,
  p_pace boolean, p_keep bigint, p_patience integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_window frame_async_windows;
  v_now bigint;
  v_most integer;
  v_missing integer;
  v_wait bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  v_window := frame_async_2_window(p_name, p_requests, p_per, p_keep, p_patience);
  v_now := frame_async_2_now();
  v_most := frame_async_2_ours(v_window, p_reserve);
  v_missing := v_window.used + p_ahead % v_most - v_most;
  v_wait := p_per * (p_ahead / v_most);
  IF v_missing >= 0 THEN
    v_wait := v_wait + frame_async_2_wait(v_window, v_missing, v_now);
  END IF;
  IF p_reserve > 0 THEN
    v_wait := greatest(v_wait, frame_async_2_early(v_window, p_pace, v_now)
      + p_ahead * (p_per / v_window.known));
  END IF;
  RETURN greatest(v_wait, v_window.paused - v_now, 0);
END $$;

CREATE OR REPLACE FUNCTION frame_async_2_got(p_name bytea) RETURNS integer
LANGUAGE sql STABLE AS $$
  SELECT count(*)::integer FROM frame_async_slots
  WHERE window_name = p_name AND NOT held AND NOT refused
$$;

CREATE OR REPLACE FUNCTION frame_async_2_probing(p_name bytea) RETURNS bigint
LANGUAGE sql STABLE AS $$
  SELECT coalesce(max(frees_at), 0) FROM frame_async_slots
  WHERE window_name = p_name AND held AND probe
$$;

CREATE OR REPLACE FUNCTION frame_async_2_enter(
  p_name bytea, p_requests integer, p_per bigint, p_token bytea, p_open integer,
  p_reserve double precision, p_hold bigint, p_force boolean, p_pace boolean, p_keep bigint,
  p_patience integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_window frame_async_windows;
  v_now bigint;
  v_ours integer;
  v_early bigint;
  v_probe boolean;
  v_wait bigint := 0;
BEGIN
  -- The row is locked until the commit, so that one after the other would wait for the disk.
  PERFORM set_config('synchronous_commit', 'off', true);
  v_window := frame_async_2_window(p_name, p_requests, p_per, p_keep, p_patience);
  v_now := frame_async_2_now();
  v_ours := frame_async_2_ours(v_window, p_reserve);
  IF p_reserve > 0 AND NOT p_force THEN
    v_early := frame_async_2_early(v_window, p_pace, v_now);
  END IF;
  v_probe := p_force OR v_window.used >= v_ours;
  IF EXISTS (SELECT FROM frame_async_slots
             WHERE window_name = p_name AND token = p_token AND held) THEN
    RETURN 0;
  ELSIF v_now < v_window.paused THEN
    v_wait := v_window.paused - v_now;
  ELSIF v_window.used >= p_open OR v_early > 0 THEN
    IF v_window.used >= p_open THEN
      v_wait := frame_async_2_wait(v_window, v_window.used - p_open, v_now);
    END IF;
    IF p_reserve > 0 AND NOT p_force THEN
      v_wait := frame_async_2_appoint(v_window, v_now + greatest(v_wait, v_early),
        CASE WHEN v_early IS NULL THEN 0 ELSE p_per / v_window.known END,
        v_window.used >= p_open, v_now);
    END IF;
  ELSIF v_probe AND NOT p_force AND (v_now < v_window.probe_at OR v_now < v_window.probing OR (
      v_now < v_window.probe_at + p_per AND EXISTS (
        SELECT FROM frame_async_slots WHERE window_name = p_name AND held))) THEN
    v_wait := least(frame_async_2_wait(v_window, v_window.used - v_ours, v_now),
      greatest(v_window.probe_at - v_now, 100000));
  ELSE
    INSERT INTO frame_async_slots
    VALUES (p_name, p_token, v_now + p_hold + p_per, true, v_probe, false);
  END IF;
  IF v_wait = 0 THEN
    UPDATE frame_async_windows SET used = used + 1,
      probing = CASE WHEN v_probe THEN greatest(probing, v_now + p_hold + p_per)
        ELSE probing END,
      paced_to = least(greatest(paced_to, v_now) + p_per / known, v_now + p_per),
      payers_until = CASE WHEN p_reserve > 0 THEN payers_until ELSE v_now + p_per END,
      forget_at = greatest(forget_at, v_now + p_hold + p_per + p_keep)
    WHERE name = p_name;
  END IF;
  RETURN v_wait;
END $$;

CREATE OR REPLACE FUNCTION frame_async_2_leave(
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
  v_window := frame_async_2_window(p_name, p_requests, p_per, p_keep, p_patience);
  v_now := frame_async_2_now();
  IF p_sent THEN
    UPDATE frame_async_slots SET held = false, frees_at = v_now + p_per
    WHERE window_name = p_name AND token = p_token AND held RETURNING probe INTO v_probe;
  ELSE
    DELETE FROM frame_async_slots
    WHERE window_name = p_name AND token = p_token AND held RETURNING probe INTO v_probe;
  END IF;
  IF v_probe IS NULL THEN RETURN 0; END IF;
  IF p_sent AND v_window.known < p_requests THEN
    v_window.known := greatest(v_window.known, least(frame_async_2_got(p_name), p_requests));
  END IF;
  UPDATE frame_async_windows SET used = used - (NOT p_sent)::integer, known = v_window.known,
    probing = CASE WHEN v_probe THEN frame_async_2_probing(p_name) ELSE probing END,
    forget_at = greatest(forget_at, v_now + p_per + p_keep)
  WHERE name = p_name;
  RETURN 1;
END $$;

CREATE OR REPLACE FUNCTION frame_async_2_refuse(
  p_name bytea, p_requests integer, p_per bigint, p_token bytea, p_pause bigint,
  p_keep bigint, p_patience integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  v_window frame_async_windows;
  v_now bigint;
  v_probe boolean;
  v_believed boolean;
BEGIN
  v_window := frame_async_2_window(p_name, p_requests, p_per, p_keep, p_patience);
  v_now := frame_async_2_now();
  v_believed := v_window.known < p_requests OR EXISTS (
    SELECT FROM frame_async_slots WHERE window_name = p_name AND refused);
  UPDATE frame_async_slots SET held = false, refused = true, frees_at = v_now + p_per
  WHERE window_name = p_name AND token = p_token AND held RETURNING probe INTO v_probe;
  IF v_probe IS NOT NULL AND v_believed THEN
    v_window.known := greatest(1, least(v_window.known, frame_async_2_got(p_name)));
  END IF;
  UPDATE frame_async_windows SET paused = greatest(paused, v_now + p_pause),
    probe_at = v_now + p_per, known = v_window.known,
    probing = CASE WHEN v_probe THEN frame_async_2_probing(p_name) ELSE probing END,
    forget_at = greatest(forget_at, v_now + greatest(p_pause, p_per) + p_keep)
  WHERE name = p_name;
  RETURN 1;
END $$;
""".replace("BURST", str(BULK_BURST))

WINDOWS: Final = _APPOINT + _RULES
"""The functions; the tables are in `_postgres_schema`."""
