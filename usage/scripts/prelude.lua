-- Prepended to every script. One script is one decision: Redis runs it whole, with nothing in between, and writes its
-- effects to the append-only file as one transaction.
--
-- Money is whole nano-dollars, exact in a double up to nine million dollars; time is whole microseconds since the epoch.
--
--   budget:redis            hash   which run of the server this is, which data set, its epoch, and the state of it
--   budget:day              text   the day of the counter below, YYYY-MM-DD in Africa/Algiers
--   budget:today:usd        text   dollars settled on that day
--   budget:<day>:usd        text   the same of a day that is over
--   budget:<day>:held       int    nano-dollars held by calls in flight
--   budget:<day>:users      hash   <user>:spent (what the user was charged), <user>:held and <user>:waived (what calls
--                                  cost beyond what the user was charged for them), nano-dollars
--   budget:holds:<process>  hash   <request>:<attempt> -> JSON of what is in flight, enough to settle it for a dead process
--   budget:leases           zset   process -> last sign of life
--   budget:resolved:<r>:<a> text   "<cost> <charged>": what an estimate moved the day's counter and the user's by, until
--                                  the true usage replaces it
--   budget:ticked           int    when a process last showed life
--   budget:leader           text   the leader of a recovery shows life: its epoch, for ten seconds
--   budget:expected         set    processes that have not handed in since Redis came back
--   budget:handed           set    ends that were handed in
--   budget:unreadable       hash   records that could not be read, put aside for a person
--   budget:<day>:overruns   hash   bills above their hold: how many (count), and by how much in all (nano)
--   budget:changes:<user>   text   token of the last change of this user by the product (tier, ban, keys, password)
--   budget:changes:everyone text   token of the last change of what all have in common (tiers, models)
--   quota:<day>             hash   user -> messages
--   quota:open:<process>    hash   request -> "<user> <day>": messages counted in advance, and not answered yet
--   quota:turns             hash   user -> place in the cycle of 100 that splits Groq and OpenRouter
--   ratelimit:<user>        zset   request -> when it was admitted, over the last 60 s
--   banned:<user>           text   why, with the end as its expiry
--   usage:stream            stream rows on their way to the table; usage:mark is how far the table has them
--
-- ARGV[1] is the call, as JSON. No KEYS: the names depend on the day, which is decided here (one server, no cluster).

local call = cjson.decode(ARGV[1])

local SECOND = 1000000
local MINUTE = 60 * SECOND
local LEASE = 20 * SECOND
local KEPT = 3 * 86400

local clock = redis.call('TIME')
-- The shift is zero but in tests, where it moves this clock without touching the machine's.
local now = clock[1] * SECOND + clock[2] + call.shift

-- The state of this data set, or nil when the caller has not attached to it as it is now. Redis changes its run_id at
-- each start and a recovery writes a new epoch, so a server that came back (older, empty or whole) or that was flushed
-- is noticed by every process, in the same step that would have trusted it.
local function trusted()
  local known = redis.call('HMGET', 'budget:redis', 'run', 'epoch', 'state', 'since')
  if not known[1] or known[2] ~= call.epoch then return nil end
  if string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= known[1] then return nil end
  return known[3], tonumber(known[4])
end

local function midnight_after(us)
  return ((math.floor((us / SECOND + call.utc_offset) / 86400) + 1) * 86400 - call.utc_offset) * SECOND
end

-- YYYY-MM-DD of an instant (days from civil, inverted; the proleptic Gregorian calendar).
local function day_at(us)
  local days = math.floor((us / SECOND + call.utc_offset) / 86400) + 719468
  local era = math.floor(days / 146097)
  local doe = days - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, doy - math.floor((153 * mp + 2) / 5) + 1)
end

-- Dollars as decimal text -> nano-dollars, digit by digit; nil for what is not an amount.
local function nano(text)
  local whole, part = string.match(text or '', '^%s*(%d+)%.?(%d*)%s*$')
  if not whole or #whole > 6 then return nil end
  return tonumber(whole) * 1000000000 + tonumber(string.sub(part .. '000000000', 1, 9))
end

local function dollars(amount)
  return string.format('%d.%09d', math.floor(amount / 1000000000), amount % 1000000000)
end

local function whole(number)
  return string.format('%.0f', number)
end

-- The day it is, with its counter begun if it is a new one. It never goes back, whatever the clock does.
local function today()
  local day, current = day_at(now), redis.call('GET', 'budget:day')
  if current and current >= day then return current end
  if current then
    local spent = redis.call('GET', 'budget:today:usd')
    if spent then redis.call('SET', 'budget:' .. current .. ':usd', spent, 'EX', KEPT) end
    redis.call('SET', 'budget:today:usd', dollars(0))
    redis.call('SET', 'budget:' .. day .. ':held', 0, 'EX', KEPT)
  else
    -- Nobody knows whose counter it was: it is built anew.
    redis.call('DEL', 'budget:today:usd')
  end
  redis.call('SET', 'budget:day', day)
  return day
end

local function spent_key(day)
  return redis.call('GET', 'budget:day') == day and 'budget:today:usd' or 'budget:' .. day .. ':usd'
end

local function held_key(day)
  return 'budget:' .. day .. ':held'
end

local function users_key(day)
  return 'budget:' .. day .. ':users'
end

local function holds_key(process)
  return 'budget:holds:' .. process
end

local function open_key(process)
  return 'quota:open:' .. process
end

-- Move the day's counter by the operator's amount and the user's own by the payer's (`charged`). A missing counter
-- stays missing: it is rebuilt from the ledger, where these amounts are too.
local function spend(day, user, amount, charged)
  if amount == 0 and charged == 0 then return end
  local key = spent_key(day)
  local spent = nano(redis.call('GET', key))
  if spent then redis.call('SET', key, dollars(math.max(0, spent + amount)), 'KEEPTTL') end
  redis.call('HINCRBY', users_key(day), user .. ':spent', whole(charged))
  if amount ~= charged then redis.call('HINCRBY', users_key(day), user .. ':waived', whole(amount - charged)) end
  redis.call('EXPIRE', users_key(day), KEPT)
end

-- Whether the user's daily amount leaves room to waive `amount` more. Without this bound, a user who can make calls fail
-- at will could spend the operator's money all day. A limit of -1 is none.
local function waives(day, user, amount, limit)
  return limit < 0 or tonumber(redis.call('HGET', users_key(day), user .. ':waived') or 0) + amount <= limit
end

-- What is left of the user's daily amount; nil where there is no limit.
local function left_to_user(day, user, limit)
  if limit < 0 then return nil end
  local own = redis.call('HMGET', users_key(day), user .. ':spent', user .. ':held')
  return limit - tonumber(own[1] or 0) - tonumber(own[2] or 0)
end

-- Likewise for what is held; a missing sum is rebuilt from the holds.
local function hold(day, user, amount)
  if amount == 0 then return end
  if redis.call('EXISTS', held_key(day)) == 1 then redis.call('INCRBY', held_key(day), whole(amount)) end
  redis.call('HINCRBY', users_key(day), user .. ':held', whole(amount))
  redis.call('EXPIRE', users_key(day), KEPT)
end

-- A bill above its hold is settled as billed; staff is told of it.
local function overrun(day, amount)
  local key = 'budget:' .. day .. ':overruns'
  redis.call('HINCRBY', key, 'count', 1)
  redis.call('HINCRBY', key, 'nano', whole(amount))
  redis.call('EXPIRE', key, KEPT)
end

-- What is in flight. Numbers as text: JSON here keeps only 14 digits.
local function record_of(amount, user, day, admitted_at, provider, model, row)
  return cjson.encode({
    hold = whole(amount), user = tostring(user), day = day, at = admitted_at, provider = provider, model = model,
    row = row,
  })
end

-- Its parts, or nil for what cannot be read.
local function parts_of(record)
  local readable, parts = pcall(cjson.decode, record)
  if not readable or type(parts) ~= 'table' then return nil end
  parts.hold = tonumber(parts.hold)
  return parts.hold and parts.day and parts.user and parts or nil
end

-- Count a message, in advance of its answer.
local function open_message(day, user, request)
  redis.call('HINCRBY', 'quota:' .. day, user, 1)
  redis.call('EXPIRE', 'quota:' .. day, KEPT)
  redis.call('HSET', open_key(call.process), request, user .. ' ' .. day)
end

-- What a Redis that came back may have lost of the per-minute limit.
local function remember_admission(user, request, admitted_at)
  if tonumber(admitted_at) <= now - MINUTE then return end
  redis.call('ZADD', 'ratelimit:' .. user, admitted_at, request)
  redis.call('PEXPIRE', 'ratelimit:' .. user, 61000)
end

-- The message of a call that failed does not count. Only one that was counted, and once.
local function give_back(process, request)
  local open = redis.call('HGET', open_key(process), request)
  if not open then return end
  redis.call('HDEL', open_key(process), request)
  local user, day = string.match(open, '^(%S+) (%S+)$')
  redis.call('HINCRBY', 'quota:' .. day, user, -1)
end

local function alive()
  redis.call('ZADD', 'budget:leases', whole(now), call.process)
end

-- Put a row on its way to the table. `moved` and `charge_moved` are what it did to the counter of `day` and to the
-- user's own; `charged` is the payer's amount of the call.
local function log(day, user, moved, charge_moved, charged, row)
  return redis.call(
    'XADD', 'usage:stream', '*', 'day', day, 'user', user, 'moved', whole(moved), 'charge_moved', whole(charge_moved),
    'charged', whole(charged), 'row', row
  )
end

-- Remember an estimate, so that the true usage can replace it when it comes.
local function estimated(field, cost, charged)
  redis.call('SET', 'budget:resolved:' .. field, whole(cost) .. ' ' .. whole(charged), 'EX', 86400)
end

-- The estimate of an attempt: its cost and what it charged; nil where there is none. One that was written by a release
-- before the payer's amount is a single number: it charged its cost.
local function estimate_of(field)
  local cost, charged = string.match(redis.call('GET', 'budget:resolved:' .. field) or '', '^(%d+) ?(%d*)$')
  if not cost then return nil end
  return tonumber(cost), tonumber(charged) or tonumber(cost)
end

-- Stream ids are <milliseconds>-<sequence>, compared as two numbers.
local function later(one, other)
  local a, b = string.match(one or '0-0', '^(%d+)-(%d+)$')
  local c, d = string.match(other or '0-0', '^(%d+)-(%d+)$')
  a, b, c, d = tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  return a > c or (a == c and b > d)
end

