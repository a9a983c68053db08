-- A process has handed in what it had. The last of those expected opens the paid route.

local state = trusted()
if not state then return {'attach'} end
if state == 'rebuilding' then return {'recovering'} end
alive()
redis.call('SREM', 'budget:expected', call.process)
if state == 'confirming' and redis.call('SCARD', 'budget:expected') == 0 then
  redis.call('HSET', 'budget:redis', 'state', 'open')
end
return {'ok'}
