-- Hand the next attempt of a queue to a worker, and mark its job as running.
-- KEYS: workers lingering wake claims jobs
-- ARGS: queue worker call token date prefix lifetime leaves
-- USES: lifetimes indices queue events attempts
--
-- `call` is the call that the worker has followed, or empty. `token` tells one claim from the next:
-- who asks again, as when an answer got lost, is answered alike while that attempt runs. Returns
-- {info object, payload, checkpoint}, or nil when there is none for it; the worker is then noted as
-- one that lingers, or, if `leaves` is not empty, or it is drained or has to load new code, is at this
-- queue no more.

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
local is_drained = policy('drained:' .. worker) or policy('restart:' .. worker)
while not is_drained do
  local member, owner, limit = take_next(queue)
  if not member then break end
  local claimed = begin_attempt(member, queue, owner, limit)
  if claimed then
    redis.call('HSET', claims_key, worker, token .. ' ' .. member)
    redis.call('EXPIRE', claims_key, lifetime)
    return claimed
  end
  place_lane(queue, owner, limit)
end
if leaves ~= '' or is_drained then
  redis.call('ZREM', workers_key, worker)
  redis.call('HDEL', claims_key, worker)
else
  redis.call('SADD', lingering_key, worker)
  redis.call('EXPIRE', lingering_key, lifetime)
end
return nil
