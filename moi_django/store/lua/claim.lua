-- Hand the next waiting attempt of a queue to a worker, and mark its job as running.
-- KEYS: waiting running workers lingering wake claims jobs
-- ARGS: worker call token date prefix lifetime leaves
-- USES: indices attempts
--
-- `call` is the call that the worker has followed, or empty. `token` tells one claim from the next:
-- who asks again, as when an answer got lost, is answered alike while that attempt runs. Returns
-- {info object, payload, checkpoint}, or nil when none waits; the worker is then noted as one that lingers, or,
-- if `leaves` is not empty, is at this queue no more.

if call ~= '' then redis.call('ZREM', workers_key, call) end
redis.call('ZADD', workers_key, 'NX', 0, worker)
redis.call('SREM', lingering_key, worker)
redis.call('DEL', wake_key .. worker)
redis.call('EXPIRE', workers_key, lifetime)
local last_token, last_member = string.match(redis.call('HGET', claims_key, worker) or '', '^(%S+) (.*)$')
if last_token == token then
  local claimed = claimed_before(last_member)
  if claimed then return claimed end
end
while true do
  local member = redis.call('ZPOPMIN', waiting_key)[1]
  if not member then break end
  local claimed = begin_attempt(member)
  if claimed then
    redis.call('HSET', claims_key, worker, token .. ' ' .. member)
    redis.call('EXPIRE', claims_key, lifetime)
    return claimed
  end
end
if leaves ~= '' then
  redis.call('ZREM', workers_key, worker)
  redis.call('HDEL', claims_key, worker)
else
  redis.call('SADD', lingering_key, worker)
  redis.call('EXPIRE', lingering_key, lifetime)
end
return nil
