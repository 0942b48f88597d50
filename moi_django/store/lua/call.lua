-- Note calls for workers of a queue: for each attempt that could be claimed and for which none is on its way or
-- was woken, as far as there are free engines.
-- KEYS: workers lingering wake
-- ARGS: queue engines limit call prefix lifetime
-- USES: lifetimes queue
--
-- A call is noted as `call` and a number; all begin alike up to a colon. Returns how many are to be made.

local waiting = claimable(queue) - redis.call('SCARD', lingering_key)
local kind = string.match(call, '^%a+:')
for _, worker in ipairs(redis.call('ZRANGE', workers_key, 0, -1)) do
  local is_called = string.sub(worker, 1, #kind) == kind
  if is_called or redis.call('EXISTS', wake_key .. worker) == 1 then waiting = waiting - 1 end
end
local free = tonumber(engines) - redis.call('ZCARD', workers_key)
local count = math.max(0, math.min(waiting, free, tonumber(limit)))
for number = 1, count do redis.call('ZADD', workers_key, 0, call .. ':' .. number) end
redis.call('EXPIRE', workers_key, lifetime)
return count
