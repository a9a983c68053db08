-- Admission: ban, backlog, quota, rate, split and the first hold, decided together and written only if all agree.

local state, since = trusted()
if not state then return {'attach'} end
local open, paid_open = openness(state, since)
if not open then return {'recovering'} end

-- The caller, the tier and the models were looked up in a process's memory. If the product changed one of them since
-- (the token here is not the one that the process knows), nothing is decided: neither admitted nor refused.
if call.own then
  local changes = redis.call('MGET', 'budget:changes:' .. call.user, 'budget:changes:everyone')
  local own, everyone = changes[1] or '', changes[2] or ''
  if (own ~= '' and own ~= call.own) or (everyone ~= '' and everyone ~= call.everyone) then
    return {'stale', 'own', own, 'everyone', everyone}
  end
end

local day = today()
local midnight = midnight_after(now)

local ban = redis.call('GET', 'banned:' .. call.user)
if ban then return {'banned', 'reason', ban} end
if redis.call('XLEN', 'usage:stream') >= call.backlog then return {'backlog'} end

-- The last minute: how many, and when the entry leaves that makes room for one more.
local rate_key = 'ratelimit:' .. call.user
redis.call('ZREMRANGEBYSCORE', rate_key, '-inf', whole(now - MINUTE))
local recent = redis.call('ZCARD', rate_key)
local first = math.max(0, recent - call.per_minute)
local oldest = redis.call('ZRANGE', rate_key, first, first, 'WITHSCORES')
local frees_at = oldest[2] and tonumber(oldest[2]) + MINUTE or now + MINUTE
local used = tonumber(redis.call('HGET', 'quota:' .. day, call.user) or 0)

-- Every answer tells where the caller stands; `taken` is 1 once this call counts.
local function answer(status, taken, ...)
  return {
    status, 'day', day, 'now', now, 'midnight', midnight, 'quota_used', used + taken,
    'rate_left', math.max(0, call.per_minute - recent - taken), 'rate_reset', frees_at - now, ...
  }
end

if used >= call.per_day then return answer('quota_exceeded', 0) end
if recent >= call.per_minute then return answer('rate_limited', 0) end

-- The split: turn t of 100 goes to OpenRouter when the running share passes a whole number there, so any 100 turns in
-- a row hold exactly that many, wherever they begin. With no route in the cheap lane there is nothing to split.
local turn = tonumber(redis.call('HGET', 'quota:turns', call.user) or 0)
local share = 100 - call.groq_percent
local good = call.eligible and math.floor((turn + 1) * share / 100) > math.floor(turn * share / 100)
local cheap = call.eligible and not good and call.cheap_from <= #call.offers

local chosen = choose(day, cheap and call.cheap_from or 1, paid_open)
if chosen.missing then return {'rebuild', 'day', day} end
if not chosen.place then
  -- Nothing ruled it out but the wait for the others.
  if chosen.scope == '' then return {'recovering'} end
  return answer('budget_exceeded', 0, 'scope', chosen.scope)
end

redis.call('ZADD', rate_key, whole(now), call.request)
redis.call('PEXPIRE', rate_key, 61000)
if call.eligible then redis.call('HSET', 'quota:turns', call.user, (turn + 1) % 100) end
open_message(day, call.user, call.request)
begin(day, whole(now), chosen)

return answer(
  'ok', 1, 'place', chosen.place, 'hold', chosen.hold, 'max_tokens', chosen.max_tokens, 'scope', chosen.scope,
  'good', good and 1 or 0, 'turn', call.eligible and turn or -1
)
