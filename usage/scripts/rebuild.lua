-- Writes of the leader of a recovery, all or none. `commands` are commands of Redis. A leader that stood still and was
-- replaced finds another epoch when it wakes up: it must not write over counters that are live again.

if redis.call('HGET', 'budget:redis', 'epoch') ~= call.epoch then return {'superseded'} end
if redis.call('HGET', 'budget:redis', 'state') ~= 'rebuilding' then return {'superseded'} end
for _, command in ipairs(call.commands) do redis.call(unpack(command)) end
return {'ok'}
