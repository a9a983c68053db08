-- A leader of a recovery makes a new epoch, unless another one did so since it read `known`. From here on every script of
-- every process answers `attach`.

if (redis.call('HGET', 'budget:redis', 'epoch') or '') ~= call.known then return {'superseded'} end
redis.call(
  'HSET', 'budget:redis', 'run', call.run, 'epoch', call.epoch, 'state', 'rebuilding', 'since', whole(now)
)
return {'ok', 'now', now}
