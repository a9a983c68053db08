-- The counters as they stand, for whoever shows them; changes nothing but the day.

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end
local day = today()
local spent = nano(redis.call('GET', 'budget:today:usd'))
if not spent then return {'rebuild', 'day', day} end

local user = call.user or 0
local own = redis.call('HMGET', users_key(day), user .. ':spent', user .. ':held')
local rate_key, window = 'ratelimit:' .. user, '(' .. whole(now - MINUTE)
local oldest = redis.call('ZRANGEBYSCORE', rate_key, window, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {
  'ok', 'day', day, 'now', now, 'midnight', midnight_after(now), 'state', state,
  'spent', spent, 'held', tonumber(redis.call('GET', held_key(day)) or 0),
  'user_spent', tonumber(own[1] or 0), 'user_held', tonumber(own[2] or 0),
  'quota_used', tonumber(redis.call('HGET', 'quota:' .. day, user) or 0),
  'recent', redis.call('ZCOUNT', rate_key, window, '+inf'),
  'rate_reset', oldest[2] and tonumber(oldest[2]) + MINUTE - now or MINUTE,
  'backlog', redis.call('XLEN', 'usage:stream'),
}
