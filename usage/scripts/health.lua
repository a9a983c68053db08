-- The circuit breaker of one subject: a provider, one of its keys, or one of its models, shared by all processes.
--   health:failures  hash  subject -> failures in a row
--   health:open      hash  subject -> JSON {until, since, reason, probe}: left alone until then
--   health:late:<subject>:<caller>  string  a time-out of this caller's was counted a moment ago

local subject = call.subject

if call.verb == 'heal' then
  redis.call('HDEL', 'health:failures', subject)
  redis.call('HDEL', 'health:open', subject)
  return {'ok'}
end

local known = redis.call('HGET', 'health:open', subject)

if call.verb == 'fail' then
  -- One caller's prompts that take too long are not everybody's outage: of all that run out at a time one counts.
  if type(call.caller) == 'number' then
    local late = 'health:late:' .. subject .. ':' .. call.caller
    if not redis.call('SET', late, 1, 'NX', 'PX', math.floor(call.rest / 1000)) then return {'ok'} end
  end
  local failures = redis.call('HINCRBY', 'health:failures', subject, 1)
  if failures < call.threshold and not known then return {'ok'} end
  local since, till = whole(now), now + call.rest
  if known then
    local before = cjson.decode(known)
    since = before.since
    -- Those that were under way when it opened fail one by one: none of them puts off the next try.
    if now < tonumber(before['until']) then till = math.min(till, tonumber(before['until'])) end
  end
  local state = cjson.encode({
    ['until'] = whole(till), since = since, reason = call.reason, retry_after = call.retry_after,
  })
  redis.call('HSET', 'health:open', subject, state)
  return {'ok', 'state', state}
end

-- probe: of all that would try it again, one may. Its word lapses, in case it dies on the way.
if not known then return {'ok', 'mine', 1} end
local state = cjson.decode(known)
if now < tonumber(state['until']) then return {'ok', 'mine', 0} end
state['until'] = whole(now + call.rest)
redis.call('HSET', 'health:open', subject, cjson.encode(state))
return {'ok', 'mine', 1}
