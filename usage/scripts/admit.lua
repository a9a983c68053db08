-- Admission: ban, backlog, quota, rate, split and the first hold, decided together and written only if all agree.

local state, since = trusted()
if not state then return {'attach'} end
local open, paid_open = openness(state, since)
if not open then return {'recovering'} end

local day = today()
local midnight = midnight_after(now)

local ban = redis.call('GET', 'banned:' .. call.user)
if ban then return {'banned', 'reason', ban} end
if redis.call('XLEN', 'usage:stream') >= call.backlog then return {'backlog'} end

local rate_key = 'ratelimit:' .. call.user
redis.call('ZREMRANGEBYSCORE', rate_key, '-inf', whole(now - MINUTE))
local recent = redis.call('ZCARD', rate_key)
local oldest = redis.call('ZRANGE', rate_key, math.max(0, recent - call.per_minute), math.max(0, recent - call.per_minute), 'WITHSCORES')
local frees_at = oldest[2] and tonumber(oldest[2]) + MINUTE or now + MINUTE

local quota_key = 'quota:' .. day
local used = tonumber(redis.call('HGET', quota_key, call.user) or 0)
local limits = {
  'day', day, 'now', now, 'midnight', midnight, 'quota_used', used, 'rate_left', math.max(0, call.per_minute - recent),
  'rate_reset', frees_at - now,
}
if used >= call.per_day then return {'quota_exceeded', unpack(limits)} end
if recent >= call.per_minute then return {'rate_limited', unpack(limits)} end

-- The split: turn t of 100 goes to OpenRouter when the running share passes a whole number there, so any 100 turns in
-- a row hold exactly that many, wherever they begin.
local turn = tonumber(redis.call('HGET', 'quota:turns', call.user) or 0)
local share = 100 - call.groq_percent
local good = call.eligible and math.floor((turn + 1) * share / 100) > math.floor(turn * share / 100)
local start = (call.eligible and not good) and call.cheap_from or 1

local place, amount, tokens, scope = choose(day, start, paid_open)
if scope == 'rebuild' then return {'rebuild', 'day', day} end
if not place then return {'budget_exceeded', 'scope', scope, unpack(limits)} end

redis.call('ZADD', rate_key, whole(now), call.request)
redis.call('PEXPIRE', rate_key, 61000)
redis.call('HINCRBY', quota_key, call.user, 1)
redis.call('EXPIRE', quota_key, KEPT)
if call.eligible then redis.call('HSET', 'quota:turns', call.user, (turn + 1) % 100) end
begin(day, now, call.offers[place], amount)

return {
  'ok', 'place', place, 'hold', amount, 'max_tokens', tokens, 'good', good and 1 or 0, 'scope', scope,
  'day', day, 'now', now, 'midnight', midnight, 'quota_used', used + 1, 'rate_left', call.per_minute - recent - 1,
  'rate_reset', recent == 0 and MINUTE or frees_at - now,
}
