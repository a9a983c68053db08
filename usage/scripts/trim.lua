-- The table has the stream up to `mark`: forget it here, and say so, because processes drop their receipts up to there.
-- The mark only goes forward, whoever is late.

if later(call.mark, redis.call('GET', 'usage:mark')) then redis.call('SET', 'usage:mark', call.mark) end
redis.call('XTRIM', 'usage:stream', 'MINID', call.after)
return {'ok'}
