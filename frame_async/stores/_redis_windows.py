"""What Redis does for rate windows: one Lua script for each operation, on one key.

A window is a sorted set: a slot's score is when it is free again, its first letter what
became of it (``h`` held, ``p`` held as a probe, ``a`` answered, ``r`` refused). What is
known of the window as a whole stands in the same set, under names that begin with ``!``
and with scores of 0 and below.
"""

from typing import Final

from frame_async.protocol.window import ASKERS, BULK_BURST
from frame_async.stores._redis_scripts import KEY, Script

_WINDOW: Final = (
    KEY
    + """
local requests, per, token = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local held, trying = 'h' .. token, 'p' .. token
local facts = 10
local function fact(name, value) redis.call('ZADD', key, -value, '!' .. name) end
local function live_on(microseconds)
  local needed = math.ceil(microseconds / 1000) + keep * 1000
  if redis.call('PTTL', key) < needed then redis.call('PEXPIRE', key, needed) end
end
redis.call('ZREMRANGEBYSCORE', key, '(0', now)
local f = redis.call('ZMSCORE', key, '!requests', '!per', '!known', '!probe_at', '!paused',
  '!probing', '!told', '!told_at', '!paced_to', '!payers_until')
for i = 1, facts do f[i] = -tonumber(f[i] or 0) end
if f[1] ~= requests or f[2] ~= per then
  f[3] = f[3] < f[1] and math.min(f[3], requests) or requests
  redis.call('ZADD', key, -requests, '!requests', -per, '!per', -f[3], '!known',
    -f[4], '!probe_at', -f[5], '!paused', -f[6], '!probing',
    -f[7], '!told', -f[8], '!told_at', -f[9], '!paced_to', -f[10], '!payers_until')
  live_on(0)
end
local known, probe_at, paused, probing, paced_to = f[3], f[4], f[5], f[6], f[9]
local interval = math.floor(per / known)
local function holds()
  return redis.call('ZSCORE', key, held) or redis.call('ZSCORE', key, trying)
end
local function got()
  local count = 0
  for _, slot in ipairs(redis.call('ZRANGE', key, facts, -1)) do
    if slot:sub(1, 1) == 'a' then count = count + 1 end
  end
  return count
end
local function refused_lately()
  for _, slot in ipairs(redis.call('ZRANGE', key, facts, -1)) do
    if slot:sub(1, 1) == 'r' then return true end
  end
  return false
end
local function settle(letter)
  local probed = redis.call('ZREM', key, trying) == 1
  redis.call('ZREM', key, held)
  if letter then
    redis.call('ZADD', key, now + per, letter .. string.format('%.0f', now) .. token)
  end
  if not probed then return end
  fact('probing', 0)
  local slots = redis.call('ZRANGE', key, facts, -1, 'WITHSCORES')
  for i = 1, #slots, 2 do
    if slots[i]:sub(1, 1) == 'p' then fact('probing', tonumber(slots[i + 1])) end
  end
end
"""
)

_LANES: Final = (
    f"local askers, burst = {ASKERS}, {BULK_BURST}"
    """
local function ours(reserve)
  if reserve == 0 or known == 1 then return known end
  return known - math.max(1, math.floor(known * reserve))
end
local function early(pace)
  if not pace and now >= f[10] then return nil end
  return math.max(0, math.ceil(paced_to - now - burst * per))
end
local function wait(surplus, used)
  local nth = facts + math.min(surplus, used - 1)
  local frees_at = tonumber(redis.call('ZRANGE', key, nth, nth, 'WITHSCORES')[2])
  return math.max(1000, math.min(frees_at, now + per) - now)
end
local function appoint(first, least, full)
  local told, at = f[7] + 1, f[8]
  if at < first then
    told, at = 1, first
  elseif told > askers then
    local later = {}
    if full then
      local after = string.format('(%.0f', at)
      later = redis.call('ZRANGEBYSCORE', key, after, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    end
    later = math.min(math.max(tonumber(later[2] or 0), at + least), now + per)
    told, at = 1, later > at and later or first
  end
  redis.call('ZADD', key, -told, '!told', -at, '!told_at')
  return at - now
end
"""
)
"""How a lane shares, and when to ask again, for a worker whose place others want as well.

The first few are told when the first place is free, as many again when the second is, and
so on; after the last place that is known, it begins again with the first. While bulk keeps its
pace, they are told that much later at least.
"""

ENTER: Final = Script(
    _WINDOW
    + _LANES
    + """
local open, reserve, hold = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local forced = ARGV[7] == '1'
if holds() then return 0 end
if now < paused then return paused - now end
local used, ahead = redis.call('ZCARD', key) - facts, nil
if reserve > 0 and not forced then ahead = early(ARGV[8] == '1') end
local function later(seconds)
  if reserve == 0 or forced then return seconds end
  local first = now + math.max(seconds, ahead or 0)
  return appoint(first, ahead and interval or 0, used >= open)
end
if used >= open then return later(wait(used - open, used)) end
if ahead and ahead > 0 then return later(0) end
local function may_probe()
  if now < probe_at or now < probing then return false end
  if now >= probe_at + per then return true end
  for _, slot in ipairs(redis.call('ZREVRANGE', key, 0, used - 1)) do
    if slot:sub(1, 1) == 'h' then return false end
  end
  return true
end
local probe = forced or used >= ours(reserve)
if probe and not forced and not may_probe() then
  return math.min(wait(used - ours(reserve), used), math.max(probe_at - now, 100000))
end
local frees_at = now + hold + per
if probe then fact('probing', math.max(probing, frees_at)) end
fact('paced_to', math.min(math.max(paced_to, now) + interval, now + per))
if reserve == 0 then fact('payers_until', now + per) end
redis.call('ZADD', key, frees_at, probe and trying or held)
live_on(hold + per)
return 0
"""
)

OPENS_IN: Final = Script(
    _WINDOW
    + _LANES
    + """
local reserve, ahead = tonumber(ARGV[4]), tonumber(ARGV[5])
local most, used = ours(reserve), redis.call('ZCARD', key) - facts
local pace = reserve > 0 and early(ARGV[6] == '1')
local missing = used + ahead % most - most
local seconds = math.floor(ahead / most) * per + (missing >= 0 and wait(missing, used) or 0)
return math.max(seconds, pace and pace + ahead * interval or 0, paused - now, 0)
"""
)

LEAVE: Final = Script(
    _WINDOW
    + """
if not holds() then return 0 end
if ARGV[4] == '0' then
  settle()
  return 1
end
settle('a')
if known < requests then fact('known', math.max(known, math.min(got(), requests))) end
live_on(per)
return 1
"""
)

REFUSE: Final = Script(
    _WINDOW
    + """
local pause = tonumber(ARGV[4])
fact('paused', math.max(paused, now + pause))
fact('probe_at', now + per)
live_on(math.max(pause, per))
if not holds() then return 0 end
local believed = known < requests or refused_lately()
settle('r')
if believed then fact('known', math.max(1, math.min(known, got()))) end
return 1
"""
)
