-- The message of a call that failed does not count. Safe to repeat: once per request.

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end
if redis.call('SET', 'quota:given_back:' .. call.request, 1, 'NX', 'EX', 86400) then
  local used = tonumber(redis.call('HGET', 'quota:' .. call.day, call.user) or 0)
  if used > 0 then redis.call('HINCRBY', 'quota:' .. call.day, call.user, -1) end
end
return {'ok'}
